"""Code of others that would end bdry without a word: `os._exit` and its like raise, and whatever leaves is a line."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UsageError, first_line

# functions of os that end or replace a process there and then: no `finally` is run, no status is written
WAYS = ("_exit", "abort", "execv", "execve")
# leaves a job that is to be started again, and has said so
LAUNCHER = "submitit"


@contextmanager
def staying() -> Iterator[None]:
    """Inside, each of `WAYS` raises `SystemExit` in this process; one that the code has made may leave as ever."""
    process, before = os.getpid(), {name: getattr(os, name) for name in WAYS}

    def instead(name: str) -> Callable[..., Any]:
        def left(*args: Any, **named: Any) -> Any:
            if os.getpid() != process:
                return before[name](*args, **named)
            raise SystemExit(*args[:1] if name == "_exit" else (f"os.{name}",))

        return left

    try:
        for name in WAYS:
            setattr(os, name, instead(name))
        yield
    finally:
        for name in WAYS:
            setattr(os, name, before[name])


@contextmanager
def said() -> Iterator[None]:
    """Raises `UsageError` where code inside would leave this process, whichever way."""
    try:
        with staying():
            yield
    except SystemExit as left:
        raise line_for(left) or left from None


def line_for(left: BaseException) -> UsageError | None:
    """The line for a `SystemExit`, and where it comes from; None for any other error, and for a launcher's own."""
    if not isinstance(left, SystemExit):
        return None
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(left.__traceback__)]
    if any(LAUNCHER in file.parts for file, _ in frames):
        return None
    file, line = next((file, line) for file, line in reversed(frames) if file != Path(__file__))
    return UsageError(f"{file.name}, line {line}: ends this process ({first_line(left)}), which no code may do here")
