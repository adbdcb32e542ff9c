"""Digests of what is the user's own and may change under its name: a module's source and weights, files of images."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

# parts of a path below which nobody edits a forward: there the package's version tells
INSTALLED = ("site-packages", "dist-packages")


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict: the same weights from another file are the same classifier."""
    digest = hashlib.sha256()
    for key, tensor in weights.items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{key}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def files_digest(places: Sequence[str]) -> str:
    """SHA-256 of files, and of all files below folders, with their names; what is missing counts as empty."""
    digest = hashlib.sha256()
    for place in (Path(place).expanduser() for place in places):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(place)} {len(content)} ".encode() + content)
    return digest.hexdigest()


def code_digest(name: str, module: nn.Module | None = None) -> str | None:
    """SHA-256 of the source of the Python module `name`, of the classes inside `module`, and of all that these import.

    Files of installed packages and of Python itself are left out; None where `name` itself is one. Files are read and
    not run: of a name such as a.b, too, the package a is imported only where it is the user's own.
    """
    waiting = {name, *(type(part).__module__ for part in module.modules())} if module else {name}
    if module is None and not (_is_own_package(name.partition(".")[0]) and _source(name)):
        return None
    sources: dict[str, bytes] = {}
    while waiting:
        current = waiting.pop()
        path = _source(current)
        if current not in sources and path is not None:
            sources[current] = path.read_bytes()
            is_package = path.name == "__init__.py"
            waiting |= set(_imports(sources[current], current if is_package else current.rpartition(".")[0]))
    digest = hashlib.sha256()
    for current, content in sorted(sources.items()):
        digest.update(f"{current} {len(content)} ".encode() + content)
    return digest.hexdigest()


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
    own = (Path(__file__).resolve().parents[1], Path(ast.__file__).resolve().parent)
    if set(INSTALLED) & set(path.parts) or any(path.is_relative_to(folder) for folder in own) or not path.is_file():
        return None
    return path


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
