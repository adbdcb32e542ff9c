"""Several command lines in one process, which starts once: `python several.py LINE...`, each as a shell takes it.

The exit code of each follows what it says on standard error.
"""

import shlex
import sys

from bdry.cli import main

for line in sys.argv[1:]:
    try:
        code = main(shlex.split(line))
    except SystemExit as left:
        code = left.code
    print("code", code, file=sys.stderr)
