"""Reading what a stranger may have written: regular files of a sane size, plain data, and `RunError` for the rest.

Nothing here follows an instruction in a file: no pickle, no YAML tag beyond plain data, no alias, no interpolation.
"""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import RunError, one_line

# bytes, far above what bdry writes: what is read takes several times as much memory
CONFIG_LIMIT, JSON_LIMIT, TABLE_LIMIT, ARRAYS_LIMIT = 2**18, 2**24, 2**28, 2**30
# no number of a config is larger; far larger ones cannot even be printed
LARGEST_NUMBER = 2**64
# libyaml is ten times as fast as Python, and knows no limit to its own stack
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100

# what the parsers of YAML, JSON and npz raise for bytes that nobody meant to be read
PARSING = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def regular(path: Path, limit: int | None = None) -> Path:
    """`path`, where it is a file of at most `limit` bytes; a pipe would be waited for, a device has no end.

    Raises `RunError`.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise RunError(f"{path}: missing") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"{path}: not a file")
    if limit is not None and found.st_size > limit:
        raise RunError(f"{path}: too large ({found.st_size} bytes)")
    return path


def read_config(path: Path) -> dict[str, Any]:
    """A resolved config's YAML: names to plain values; `RunError` where it is anything else."""
    try:
        text = regular(path, CONFIG_LIMIT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> dict[str, Any]:
    """What a resolved config's text says; `path`: where it stands, for the error."""
    try:
        found = _load(text)
        _check_plain(found)
    except (yaml.YAMLError, *PARSING) as error:
        raise damaged(path, error) from None
    if not isinstance(found, dict):
        raise RunError(f"{path}: damaged (not a mapping)")
    return found


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return parse_json(regular(path, JSON_LIMIT).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def parse_json(text: str, path: Path) -> Any:
    """What a JSON text says; `path`: where it stands, for the error."""
    try:
        return json.loads(text)
    except PARSING as error:
        raise damaged(path, error) from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file, none of them of Python objects."""
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            if sum(member.file_size for member in archive.infolist()) > ARRAYS_LIMIT:
                raise too_large(path)
        with np.load(path, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files}
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, *PARSING) as error:
        raise damaged(path, error) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise RunError(f"{path}: damaged (not only arrays)")
    return arrays


def too_large(path: Path) -> RunError:
    """The error for a file that would take more memory than any that bdry writes."""
    return RunError(f"{path}: too large when unpacked")


def damaged(path: Path, error: BaseException) -> RunError:
    """The error for a file that a parser has refused, in a line."""
    return RunError(f"{path}: damaged ({one_line(error)[:200]})")


def _load(text: str) -> Any:
    """What YAML says; no aliases, a few of which can stand for more data than any memory holds."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which no config of bdry has")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep")
    return yaml.load(text, Loader=LOADER)


def _check_plain(value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is not a name")
            _check_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(inner)
    elif isinstance(value, str):
        if "${" in value:
            raise ValueError(f"{value!r} is not resolved")
    elif value is not None and not isinstance(value, (bool, int, float)):
        raise ValueError(f"{value!r} is not plain data")
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ValueError(f"a number of {value.bit_length()} bits")
