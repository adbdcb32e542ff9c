"""Array files whose rows belong together, read with care: a run's folder may come from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError
from ..runs import Measurement, Run


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of one npz file; what asks for others than it has gets a `RunError`."""

    path: Path
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Run | Measurement, name: str, step: int) -> ArrayFile:
        """The arrays `name` of a moment."""
        return cls(folder.arrays_path(name, step), folder.read_arrays(name, step))

    def rows(self, *, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
        """One-dimensional arrays, of strings and of numbers or truth values, as the columns of a table."""
        chosen = {name: self._array(name, 1, "U") for name in texts}
        chosen |= {name: self._array(name, 1, "biuf") for name in numbers}
        if len({len(array) for array in chosen.values()}) != 1:
            raise RunError(f"{self.path}: the arrays {', '.join(chosen)} are not of one length")
        return pd.DataFrame(chosen)

    def images(self, name: str, num_rows: int) -> list[np.ndarray]:
        """An array's images, (C, H, W) each, as many as there are rows."""
        found = self._array(name, 4, "fu")
        if len(found) != num_rows:
            raise RunError(f"{self.path}: {name} is not an image for each of {num_rows} rows")
        return list(found)

    def _array(self, name: str, dimensions: int, kinds: str) -> np.ndarray:
        found = self.arrays.get(name)
        if found is None or found.ndim != dimensions or found.dtype.kind not in kinds:
            raise RunError(f"{self.path}: no {name} as bdry writes it; is it another version's?")
        return found
