"""The small files of a published run and its measurements as one: on its own each would take a block of the disk."""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from .files import replacing
from .reading import PARSING, damaged, regular, too_large

# in the folder of a published run
PACKED = "published.zip"
# in a run's folder and in its archive: what was measured later, a folder each
MEASUREMENTS = "measurements"
# what reading an archive raises for bytes that nobody meant to be one
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    *PARSING,
)


def pack(folder: Path, files: Mapping[str, str]) -> None:
    """Writes `files`, a text by its name, into the one file of `folder`; the same texts are the same bytes."""
    with replacing(folder / PACKED) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in sorted(files.items()):
            # an entry that says no time
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_LZMA)


def packed_in(folder: Path) -> Path:
    """Where the files of a run's or a measurement's folder are packed, as in <run>/published.zip/measurements/<name>.

    A measurement has its own archive only where it was put into a run that has its files unpacked.
    """
    if folder.parent.name == MEASUREMENTS and not (folder / PACKED).exists():
        return folder.parents[1] / PACKED / MEASUREMENTS / folder.name
    return folder / PACKED


def archive_of(folder: Path) -> tuple[Path, str]:
    """The archive, and what the names of the folder's files begin with in it."""
    place = packed_in(folder)
    return (place, "") if place.name == PACKED else (place.parents[1], f"{MEASUREMENTS}/{place.name}/")


def packed_names(folder: Path) -> list[str]:
    """The names of the files that are packed of `folder`; none where none are.

    Raises:
        RunError: the archive is damaged.
    """
    path, begin = archive_of(folder)
    if not path.exists():
        return []
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            return [name.removeprefix(begin) for name in archive.namelist() if name.startswith(begin)]
    except UNREADABLE as error:
        raise damaged(path, error) from None


def packed_measurements(run: Path) -> list[Path]:
    """The folders of the measurements that are packed with a run, which need not be there.

    Raises:
        RunError: the archive is damaged.
    """
    found = (re.fullmatch(rf"{MEASUREMENTS}/(\w[\w.-]*)/.+", name, re.ASCII) for name in packed_names(run))
    return [run / MEASUREMENTS / name for name in sorted({one[1] for one in found if one is not None})]


def unpacked(folder: Path, name: str, limit: int) -> str:
    """The text that is packed of `folder` under `name`.

    Raises:
        RunError: there is none, it is damaged, or larger than `limit` bytes.
    """
    path, begin = archive_of(folder)
    try:
        with zipfile.ZipFile(regular(path)) as archive, archive.open(begin + name) as file:
            # what the archive says of a file's size need not be true
            content = file.read(limit + 1)
    except UNREADABLE as error:
        raise damaged(packed_in(folder) / name, error) from None
    if len(content) > limit:
        raise too_large(packed_in(folder) / name)
    return content.decode("utf-8", errors="replace")
