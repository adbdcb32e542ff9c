"""The small files of a published run or measurement as one: on its own each would take a block of the disk."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from .files import replacing
from .reading import PARSING, damaged, regular, too_large

# in the folder of a published run or measurement
PACKED = "published.zip"
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


def packed_names(folder: Path) -> list[str]:
    """What `pack` put into `folder`; empty where it put nothing. Raises `RunError` where the file is damaged."""
    path = folder / PACKED
    if not path.exists():
        return []
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            return archive.namelist()
    except UNREADABLE as error:
        raise damaged(path, error) from None


def unpacked(folder: Path, name: str, limit: int) -> str:
    """The text that `pack` put into `folder` under `name`.

    Raises:
        RunError: there is none, it is damaged, or larger than `limit` bytes.
    """
    path = folder / PACKED
    try:
        with zipfile.ZipFile(regular(path)) as archive, archive.open(name) as file:
            # what the archive says of a file's size need not be true
            content = file.read(limit + 1)
    except UNREADABLE as error:
        raise damaged(path / name, error) from None
    if len(content) > limit:
        raise too_large(path / name)
    return content.decode("utf-8", errors="replace")
