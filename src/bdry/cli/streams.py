"""The standard streams, which may be closed, or lack letters that a path or a bar has."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def prepare() -> None:
    """Opens the closed ones on the null device, and has the others write escapes for letters that they lack."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # takes the free descriptor too, which a table would get else, and every message with it
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Writes out what was printed; what a full disk does not take is not tried again at the interpreter's end."""
    try:
        sys.stdout.flush()
    except OSError:
        silence()
        raise


def silence() -> None:
    """Nothing more can be written to standard output: what is left in its buffer goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
