"""What `bdry deepdig` prints at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ...selection.failures import without_instances
from ..printed import Rows, Tables

HEADINGS = (
    "instances of",
    "method",
    "step",
    "directions",
    "without one",
    "coverage",
    "success",
    "an image",
    "distance",
)
TITLE = (
    "borderline instances; coverage: segments over rightly predicted images; success: instances over segments; an "
    "image: instances over these images; distance: median over directions of the median l2 distance to the source"
)


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """How much of each class every generator covers, in all directions together, and the directions that it lost."""
    shown, lines = [], []
    for name, images in (("generation", "train"), ("generation_test", "test")):
        rows = tables(name)
        if rows is None:
            continue
        # other alphas are a sweep
        rows = rows[rows["alpha"].isna() | (rows["alpha"] == settings["alphas"][0])]
        for (step, method), part in rows.groupby(["step", "method"], sort=False):
            lost = without_instances(part)
            if lost:
                lines.append(f"{method}, {images} images, step {step}: no instance of {lost}")
            shown.append([images, str(method), str(step), *_numbers(part)])
    yield Rows(TITLE, HEADINGS, shown)
    yield from lines


def _numbers(rows: pd.DataFrame) -> list[str]:
    correct, segments, found = (int(rows[name].sum()) for name in ("num_correct", "num_pairs", "num_success"))
    shares = [(segments, correct), (found, segments), (found, correct)]
    told = [f"{part / whole:.1%}" if whole else "nan" for part, whole in shares]
    distances = rows["distance_median"].dropna()
    distance = f"{distances.median() if len(distances) else math.nan:.3g}"
    return [str(len(rows)), str(int((rows["num_success"] == 0).sum())), *told, distance]
