"""Files of arrays, checked against what is declared of them when they are written and when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import RunError
from .files import replacing
from .reading import read_npz
from .table import ARRAY_KINDS
from .tables import ARRAYS


def path_of(folder: Path, name: str, step: int) -> Path:
    """The file of the arrays `name` at a moment, below a run's or a measurement's folder."""
    return folder / "arrays" / f"{name}-step={step:08d}.npz"


def steps_of(folder: Path, name: str) -> list[int]:
    """The moments of which a folder has the arrays `name`, in order."""
    numbers = [path.stem.rpartition("=")[2] for path in folder.glob(f"arrays/{name}-step=*.npz")]
    return sorted(int(number) for number in numbers if number.isdecimal())


def last_of(folder: Path) -> dict[str, Path]:
    """By name the file of a folder's arrays at their last moment."""
    names = sorted({path.name.rpartition("-step=")[0] for path in folder.glob("arrays/*-step=*.npz")})
    return {name: path_of(folder, name, steps[-1]) for name in names if (steps := steps_of(folder, name))}


def write_arrays(path: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays `name`, compressed; what does not fit its declaration is a bug."""
    wrong = misfit(name, arrays)
    assert not wrong, f"{name}: {wrong}"
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays `name`; `RunError` where there are none, or they are damaged or not as declared. No pickle is read."""
    found = read_npz(path)
    wrong = misfit(name, found)
    if wrong:
        raise RunError(f"{path}: damaged ({wrong})")
    return found


def misfit(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """What is not as declared of the arrays `name`, or ""."""
    if name not in ARRAYS:
        return "no arrays of this name are declared"
    lengths: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for key, values in arrays.items():
        found = ARRAYS[name].of(key)
        if found is None:
            return f"no array is declared as {key}"
        array, fields = found
        if values.ndim != len(array.axes) or values.dtype.kind not in ARRAY_KINDS[array.kind]:
            return f"{key} is not {array.kind} by {', '.join(array.axes)}"
        for axis, length in zip(array.axes, values.shape, strict=True):
            if lengths.setdefault((axis, tuple(fields.items())), length) != length:
                return f"{key} has {length} along {axis}, others have {lengths[axis, tuple(fields.items())]}"
    return ""
