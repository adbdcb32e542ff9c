"""Starting bdry in a process of its own. The current folder may be a stranger's: no Python is imported from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

# python -c puts the current folder first on sys.path, as an empty name; sys itself is built in
BDRY = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; sys.argv[0] = 'bdry'; "
    "from bdry.cli import main; sys.exit(main())"
)


def keep_out_current_folder() -> None:
    """Has every Python that this process starts, and those they start, leave the current folder out of `sys.path`.

    Python 3.10 has no such switch: there it holds for `run_bdry` alone.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def run_bdry(words: Sequence[str]) -> int:
    """Runs `bdry <words>` and waits for it; its exit code."""
    keep_out_current_folder()
    return subprocess.call([sys.executable, "-c", BDRY, *words])
