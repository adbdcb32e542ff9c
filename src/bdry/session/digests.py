"""Digests of what is the user's own and may change under its name: a module's source and weights, files of images."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import torch
from torch import Tensor, nn

from ..data.folder import is_hidden

# what every module has, whatever it computes; how deep values are looked into
OF_EVERY_MODULE, DEEPEST = {*vars(nn.Module())}, 5
# parts of a path below which nobody edits a forward: there the package's version tells
INSTALLED = ("site-packages", "dist-packages")


def weights_digest(weights: Mapping[str, object]) -> str:
    """SHA-256 of a state dict: the same weights from another file are the same classifier."""
    digest = hashlib.sha256()
    for key, value in weights.items():
        if not isinstance(value, Tensor):
            # what a module's get_extra_state gives
            digest.update(f"{key} {_plain(value)}".encode(errors="surrogateescape"))
            continue
        values = value.detach().cpu().contiguous()
        digest.update(f"{key}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def settings_digest(module: nn.Module) -> str:
    """SHA-256 of what a forward may use beside code and weights: numbers, texts and arrays that are plain attributes.

    Of all modules inside; also what is in lists and mappings, in data classes and objects of the user's own classes.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        held = {key: value for key, value in vars(part).items() if key not in OF_EVERY_MODULE}
        digest.update(f"{name}: {_plain(held)}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _plain(value: object, depth: int = 0) -> str:
    """What stands for a value, the same in every process; "" for what has no such thing."""
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.Size)):
        return repr(value)
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        try:
            return weights_digest({"": torch.as_tensor(value)})
        except (TypeError, ValueError, RuntimeError):
            # of objects, of texts, or on no device
            return ""
    if depth == DEEPEST:
        return ""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_plain(inner, depth + 1) for inner in value)}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{','.join(sorted(_plain(inner, depth + 1) for inner in value))}}}"
    if isinstance(value, Mapping):
        held = value
    elif is_dataclass(value) or isinstance(value, (Namespace, SimpleNamespace)) or _source(type(value).__module__):
        held = vars(value)
    else:
        return ""
    return f"{{{','.join(f'{_plain(key, depth + 1)}:{_plain(inner, depth + 1)}' for key, inner in held.items())}}}"


def files_digest(places: Sequence[str]) -> str:
    """SHA-256 of files, and of all files below folders that are not hidden, with their names; what is missing counts as
    empty. Links are followed."""
    digest = hashlib.sha256()
    for place in (Path(place).expanduser() for place in places):
        for path in sorted(_below(place)) if place.is_dir() else [place]:
            name = path.relative_to(place)
            if path.is_file() and not is_hidden(name):
                content = path.read_bytes()
                # a name may have bytes that are no text
                digest.update(f"{name} {len(content)} ".encode(errors="surrogateescape") + content)
    return digest.hexdigest()


def _below(place: Path) -> Iterator[Path]:
    """The files below a folder, in folders that are linked too, of each folder once: a link may lead back."""
    seen = set()
    for folder, inner, files in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        yield from (Path(folder, name) for name in files)


def code_digest(name: str, module: nn.Module | None = None) -> str | None:
    """SHA-256 of the source of the Python module `name`, of the classes inside `module`, and of all that these import.

    Files of installed packages and of Python itself are left out; None where `name` itself is one. Of a package that is
    installed as editable, and which `name` is no part of, the files of the classes inside and of their bases count, and
    not what these import, which may be thousands of files. Files are read and not run: of a name such as a.b, too, the
    package a is imported only where it is the user's own.
    """
    classes = {base for part in module.modules() for base in type(part).__mro__} if module is not None else set()
    waiting = {name, *(one.__module__ for one in classes)}
    if module is None and not (_is_own_package(name.partition(".")[0]) and _source(name)):
        return None
    sources: dict[str, bytes] = {}
    home = _editable(_source(name))
    while waiting:
        current = waiting.pop()
        path = _source(current)
        if current not in sources and path is not None:
            sources[current] = path.read_bytes()
            if _editable(path) not in (None, home):
                continue
            is_package = path.name == "__init__.py"
            waiting |= set(_imports(sources[current], current if is_package else current.rpartition(".")[0]))
    digest = hashlib.sha256()
    for current, content in sorted(sources.items()):
        digest.update(f"{current} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _editable(path: Path | None) -> Path | None:
    """The source tree of the editable package that a file is of, if any."""
    roots = [root for root in _editable_trees(tuple(sys.path)) if path is not None and path.is_relative_to(root)]
    return max(roots, key=lambda root: len(root.parts), default=None)


@cache
def _editable_trees(places: tuple[str, ...]) -> list[Path]:
    """The source trees of packages that are installed as editable, below these places of `sys.path`."""
    found = []
    for package in distributions(path=[*places]):
        # what another tool wrote may be anything
        with suppress(ValueError, TypeError, AttributeError, KeyError, OSError):
            about = json.loads(package.read_text("direct_url.json") or "{}")
            if about.get("dir_info", {}).get("editable"):
                found.append(Path(url2pathname(urlsplit(about["url"]).path)).resolve())
    return found


def _is_own_package(name: str) -> bool:
    """Whether looking for what is below it runs no code but the user's own: a package's, or none of a bare folder."""
    spec = None
    with suppress(Exception, SystemExit):
        spec = importlib.util.find_spec(name)
    return spec is not None and (not spec.has_location or _source(name) is not None)


def _source(name: str) -> Path | None:
    """The file of a module that the user may edit."""
    spec = None
    # a module made by hand, an import of something that is not there, a package whose import leaves
    with suppress(Exception, SystemExit):
        spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name)
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    path = Path(str(spec.origin)).resolve()
    return path if is_own(path) else None


def is_own(path: Path) -> bool:
    """Whether the user may edit this file: it is of no installed package, nor of bdry or Python itself."""
    others = (Path(__file__).resolve().parents[1], Path(ast.__file__).resolve().parent)
    inside = set(INSTALLED) & set(path.parts) or any(path.is_relative_to(folder) for folder in others)
    return not inside and path.is_file()


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The names of the modules that a source file imports, wherever in it; none of a file for another Python."""
    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package or None)
            except ImportError:
                # relative to a package that there is not: it would fail, and may be meant to
                continue
            # what is imported from a package may be a module itself
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
