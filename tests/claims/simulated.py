"""Studies drawn from a known truth, many times over: how often a rule gives each verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from bdry.claims import CLAIMS, Evidence


def shares(paper: str, name: str, draw: Callable[[np.random.Generator], Evidence], studies: int) -> dict[str, float]:
    """The share of simulated studies with each verdict; `draw` makes one study's tables."""
    rng = np.random.default_rng(11)
    found = Counter(CLAIMS[paper][name].rule(draw(rng)).verdict for _ in range(studies))
    return {verdict: found[verdict] / studies for verdict in ("supported", "contradicted", "undecided", "not run")}


def crossed(**levels: object) -> dict[str, np.ndarray]:
    """Every combination of the levels, as columns."""
    grids = np.meshgrid(*(np.arange(len(list(one))) for one in levels.values()), indexing="ij")
    return {
        name: np.asarray(list(one), dtype=object if isinstance(next(iter(one)), str) else None)[grid.ravel()]
        for (name, one), grid in zip(levels.items(), grids, strict=True)
    }


def codes(column: np.ndarray) -> np.ndarray:
    """Each value's number among the column's values."""
    return pd.factorize(column)[0]
