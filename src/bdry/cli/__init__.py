"""The command line: argv to a command, its help, its completion, its error lines. No torch until a task is chosen."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code, see `dispatch`."""
    try:
        # here, because it takes a second, in which Ctrl-C may come
        from .dispatch import dispatch

        return dispatch(argv)
    except KeyboardInterrupt:
        print("bdry: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


__all__ = ["main"]
