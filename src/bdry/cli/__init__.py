"""The command line: argv to a command, its help, its completion, its error lines. No torch until a task is chosen."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code, see `dispatch`."""
    # before torch is there: its threads that wait for work then sleep, where by default they keep a core busy, and on a
    # machine that others use too take it from each other
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        # here, because it takes a second, in which Ctrl-C may come
        from .dispatch import dispatch

        return dispatch(argv)
    except KeyboardInterrupt:
        print("bdry: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


__all__ = ["main"]
