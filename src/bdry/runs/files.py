"""Files that are whole or not there: written to a temporary name in the same folder, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import NO_ROOM, RunError
from ..names import LONGEST_NAME


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to `path` when the block ends, removed when it fails.

    Raises `OSError` with the path, also where a folder, a pipe or a device has its name.
    """
    with suppress(FileNotFoundError):
        # a device, even one that a link such as /dev/stdout leads to, would be a plain file from then on
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EEXIST, "there is something of this name that is no file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # a link of this name would be written through
        temporary.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        refused = error if isinstance(error, OSError) else _no_room(error)
        if refused is None:
            raise
        # of what is written the name that the user knows
        raise OSError(refused.errno, refused.strerror or str(refused), str(path)) from error
    finally:
        # a read-only place refuses to remove even what is not there
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def known_as(place: Path, hidden: Path) -> Iterator[None]:
    """Of an `OSError` about a file below `hidden`, which `place` is made of, the name that the user knows."""
    try:
        yield
    except OSError as error:
        names = [error.filename, error.filename2]
        for number, name in enumerate(names):
            # a lock knows the whole path of its file
            if isinstance(name, (str, PathLike)) and Path(name).absolute().is_relative_to(hidden.absolute()):
                names[number] = str(place / Path(name).absolute().relative_to(hidden.absolute()))
        raise OSError(error.errno, error.strerror, names[0], None, names[1]) from error


def _no_room(error: BaseException) -> OSError | None:
    """The full disk that `error` came after, if any: a writer that closes its file there may fail in its own way."""
    before = error.__cause__ or error.__context__
    if isinstance(before, OSError) and before.errno in NO_ROOM:
        return before
    return None if before is None else _no_room(before)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all; what is no text in a path, a stray byte, as JSON escapes it."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """`value` as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def file_name(*parts: str) -> str:
    """`parts` joined by dashes to a name that every system takes and that leads to no other folder.

    A long one is cut, and ends in a digest of what it was: file systems take 255 bytes, endings included.
    """
    name = re.sub(r"[^A-Za-z0-9_.+=-]", "_", "-".join(part.replace(",", "") for part in parts))
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"


def copy_folder(source: Path, place: Path) -> None:
    """Copies all below `source` to `place`, which is made.

    Raises `OSError` for the first file that cannot be copied, where `shutil.copytree` lists them all in an error
    without a number, which tells a full disk from nothing.
    """
    try:
        shutil.copytree(source, place)
    except shutil.Error as error:
        # what was raised for a file is kept as words, after its two names
        _, target, words = error.args[0][0]
        code = re.match(r"\[Errno (\d+)\] ([^:]*)", words)
        raise OSError(int(code[1]) if code else errno.EIO, code[2] if code else words, target) from None


def below(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, however deep, through no link; a folder that cannot be listed counts as empty."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            # of no rights, gone meanwhile, or a path that is too long
            continue
        waiting += [path for path, is_folder in found if is_folder]
        yield from (path for path, _ in found)


def refuse_links(folder: Path) -> None:
    """Raises `RunError` where `folder`, its parent or anything below it is a link, a pipe or a device.

    Writing there would write somewhere else.
    """
    for path in (folder.parent, folder, *below(folder)):
        # what is not there yet, or not any more
        with suppress(OSError):
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise RunError(f"{path}: a link or a device; bdry writes through none")
