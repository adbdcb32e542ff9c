"""A process that has imported bdry once and forks for every command line; `tests/conftest.py` starts it and asks it.

`python bdry_server.py all` imports every module of bdry, torch among them, and what those import later, when needed.
`python bdry_server.py no-torch` imports the command line alone, and exits with 99 where anything imports torch,
torchvision or scikit-learn.

A request is a line of JSON on standard input: words, cwd, env, the style of figures, and the files that take standard
output and error. The answers are two lines: the process id of the fork, then its exit code (-n where signal n has
killed it).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import sys

# what an optimiser, a figure and the digits import when they are first needed: 3 CPU seconds of every run
LATER = [
    "torch._dynamo",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_pdf",
    "fontTools.subset",
    "sklearn.datasets",
]


class Refuse:
    """Finds torch, and leaves."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "sklearn"):
            raise SystemExit(99)


def become(request):
    """Makes this fork look like a `python -m bdry` that was started with these words, folder and environment."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path[0] = request["cwd"]
    else:
        del sys.path[0]
    for descriptor, name in ((1, request["out"]), (2, request["err"])):
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    sys.argv = [main_file, *request["words"]]


if sys.argv[1] == "no-torch":
    sys.meta_path.insert(0, Refuse())

import bdry  # noqa: E402
from bdry.cli import main  # noqa: E402

if sys.argv[1] == "all":
    every = [module.name for module in pkgutil.walk_packages(bdry.__path__, "bdry.")]
    for name in [*every, *LATER]:
        if not name.endswith("__main__"):
            importlib.import_module(name)

main_file = os.path.join(os.path.dirname(bdry.__file__), "__main__.py")  # noqa: PTH118, PTH120
requests, answers = os.dup(0), os.dup(1)
with os.fdopen(requests) as lines:
    while request := lines.readline():
        fork = os.fork()
        if fork == 0:
            break
        os.write(answers, f"{fork}\n".encode())
        _, status = os.waitpid(fork, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    else:
        sys.exit()
# only a fork comes here; it ends as any other interpreter does
os.close(answers)
request = json.loads(request)
drawing = contextlib.nullcontext()
if sys.argv[1] == "all":
    from bdry.figures import Style, styled

    drawing = styled(Style(**request["style"]))
become(request)
with drawing:
    sys.exit(main())
