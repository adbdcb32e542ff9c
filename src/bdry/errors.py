"""The errors that a user sees: one clear line (what, where, what would be right), never a traceback."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import PurePath

# a full disk, a quota or a limit on files used up: no mistake of the command line
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# a place that is not to be written to
NO_RIGHTS = (errno.EROFS, errno.EACCES, errno.EPERM)
# of the messages of torch's allocators, of a thread without room for its stack, of a library without room for itself
NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "can't start new thread",
    "bad_alloc",
    "failed to map segment",
)


class BdryError(Exception):
    """Something a user can act on; the command prints the message alone and ends with `exit_code`."""

    exit_code = 1


class UsageError(BdryError):
    """The command line, a config value or a file that the user named is wrong."""

    exit_code = 2


class DataError(UsageError):
    """A data set's files are missing, truncated or not what they should be."""


class RunError(UsageError):
    """A run's folder cannot be used: owned by another process, unwritable, or holding foreign files."""


class BusyError(RunError):
    """Another process works on the run already."""

    exit_code = 4


class TrainingError(BdryError):
    """Training broke down while it ran (a loss that is not a number)."""


class MeasuringError(BdryError):
    """A measurement broke down (no memory for a single image)."""


class StoppedError(BdryError):
    """A signal asked the process to stop; its state is saved."""

    exit_code = 75


class ConfigError(UsageError):
    """A config value is wrong.

    `key` is relative to the node that checks it; `inside` prefixes the path on the way up.
    """

    def __init__(self, key: str, value: object, problem: str) -> None:
        super().__init__(key, value, problem)
        self.key, self.value, self.problem = key, value, problem

    def __str__(self) -> str:
        return f"{self.key}={show_value(self.value)}: {self.problem}"

    def inside(self, path: str) -> ConfigError:
        """The same error, its key prefixed by the dotted `path`."""
        return ConfigError(f"{path}.{self.key}", self.value, self.problem)


def unwritable(place: object, error: OSError, way_out: str = "") -> BdryError:
    """The error for a file or folder that cannot be written; a full disk is no usage error."""
    # of two names, as a copy has them, the second is what was to be written
    line = f"{error.filename2 or error.filename or place}: cannot be written ({error.strerror or error})"
    return BdryError(line) if error.errno in NO_ROOM else RunError(f"{line}{way_out}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation has failed, of Python or of torch on any device."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


def reason(error: Exception) -> str:
    """What a user reads of `error` in a line: its message, before it what kind of error it is where it is not ours."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        # its own words are none, or numpy's
        return f"not enough memory here ({one_line(error)})"
    return one_line(error) if isinstance(error, BdryError) else f"{type(error).__name__}: {one_line(error)}"


def first_line(error: BaseException) -> str:
    """Kind and first line of what a user's code raised."""
    try:
        lines = str(error).splitlines()
    except Exception:
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def show_value(value: object) -> str:
    """`value` as one would type it on the command line: `null`, `true`, `[1,2]`, `adam`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(show_value(v) for v in value) + "]"
    return str(value)


def one_line(text: object) -> str:
    """The first line of `text` (an error: its message, else its kind), nothing in it that a terminal would obey.

    All of a path and of our own errors, which name paths: in these a line break is a letter like others.
    """
    whole = str(text)
    if not isinstance(text, (BdryError, PurePath)):
        whole = next(iter(whole.splitlines()), "")
    if not whole and isinstance(text, BaseException):
        whole = type(text).__name__
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in whole)


def did_you_mean(name: str, choices: Iterable[str], prefix: str = "") -> str:
    """ ", did you mean <prefix><nearest>?" or "" where nothing is near."""
    close = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f", did you mean {prefix}{close[0]}?" if close else ""
