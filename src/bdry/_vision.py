"""The only door to torchvision.

PyPI's torchvision is the CUDA build. Beside a CPU-only torch its compiled extension cannot load, and importing it
dies with "operator torchvision::nms does not exist" (pytorch/vision issues 9085 and 9077): two operators,
`nms` and `qnms`, get Python registrations that need their schemas. Where torch has no CUDA, the two schemas are
declared here first; data sets and models then work, while box operators stay unavailable, which this project
does not use. A healthy installation is imported as it is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from types import ModuleType

import torch

from .errors import UsageError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# keeps the declared schemas alive: a Library that is collected takes them away
_libraries: list[torch.library.Library] = []


def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`; a `UsageError` that says what to install where it cannot be imported."""
    if importlib.util.find_spec("torchvision") is None:
        raise UsageError(
            f"torchvision is not installed: pip install torchvision -c constraints.txt (torch {torch.__version__})"
        )
    try:
        open_door()
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"torchvision does not fit torch {torch.__version__} ({reason}): install a matching pair"
        ) from error
    return datasets


def open_door() -> None:
    """Has torchvision load where it can: called before a user's own code, which may import it."""
    if torch.version.cuda is None and "torchvision" not in sys.modules:
        _declare_missing_operators()


def _declare_missing_operators() -> None:
    spec = importlib.util.find_spec("torchvision")
    extension = PathFinder.find_spec("torchvision._C", list(spec.submodule_search_locations or [])) if spec else None
    if extension is not None and extension.origin is not None:
        with contextlib.suppress(OSError):
            torch.ops.load_library(extension.origin)
    for schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(schema)
            _libraries.append(library)
