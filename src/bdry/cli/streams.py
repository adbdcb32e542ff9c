"""The standard streams, which may be closed, be left by their reader, or lack letters that a path or a bar has."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, cast


def prepare() -> None:
    """Opens the closed ones on the null device; the others escape letters that they lack and outlive a pipe."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # takes the free descriptor too, which a table would get else, and every message with it
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _patient(sys.stdout)


class _Patient(io.FileIO):
    """What a reader that has left, as `head` does, would get is dropped: the work behind it goes on."""

    def write(self, data: Any) -> int:
        """As `io.FileIO`, but for a broken pipe, and an error says what could not be written."""
        try:
            return super().write(data)
        except BrokenPipeError:
            silence()
            return len(data)
        except OSError as error:
            error.filename = "standard output"
            raise


class _Kept(io.TextIOWrapper):
    """A module of the user's may close its standard output; what is said after that is still bdry's to say."""

    def close(self) -> None:
        """Writes out what was printed."""
        self.flush()


def _patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same descriptor, buffered as before, behind `_Patient`."""
    stream.flush()
    raw = _Patient(stream.fileno(), "w", closefd=False)
    return _Kept(
        cast(Any, raw) if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


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
