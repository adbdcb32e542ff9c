"""The borderline instances of single images, as `bdry deepdig` or its probe keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..errors import RunError
from ..runs import TABLES, Measurement, Run, RunRecord, read_table
from ..selection import rank
from .arrays import ArrayFile
from .curves import IMAGE, below, plain

# instances start from training images: probes/deepdig_work.py
SPLIT = "train"
NUMBERS = ["target", "attempts", "p_source", "p_target", "distance"]


@dataclass(frozen=True)
class Instances:
    """rows: a row an instance whose image is kept: split, index, label, method, `NUMBERS`, and point, (C, H, W).

    notes: what is not there.
    """

    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def images(self) -> pd.DataFrame:
        """Columns split, index, label."""
        return self.rows[[*IMAGE, "label"]].drop_duplicates(IMAGE)

    def of(self, split: str, index: int) -> list[dict[str, Any]]:
        """Those that start from the image, the nearest first, each method and target once; `point` is an array."""
        own = self.rows[(self.rows["split"] == split) & (self.rows["index"] == index)]
        found = []
        for row in own.drop_duplicates(["method", "target"]).sort_values("distance", kind="stable").to_dict("records"):
            numbers = dict(zip(NUMBERS, plain(pd.Series([row[name] for name in NUMBERS])), strict=True))
            found.append({"method": str(row["method"]), "point": row["point"], **numbers})
        return found


def instances(record: RunRecord) -> Instances:
    """Those of the last moment of each of the run's measurements, with whatever settings; those that count first."""
    parts, notes = [], []
    for source in rank([record], "generation", variants=True)[0].sources:
        try:
            parts.append(_kept(source.folder))
        except RunError as error:
            notes.append(str(error))
    return Instances(below(parts, [*IMAGE, "label", "method", *NUMBERS, "point"]), notes)


def _kept(folder: Run | Measurement) -> pd.DataFrame:
    steps = read_table(folder.table_path("generation"), TABLES["generation"])["step"]
    file = ArrayFile.read(folder, "borderline", int(steps.max()) if len(steps) else 0)
    rows = file.rows(texts=["method"], numbers=["source", "index", "saved", *NUMBERS])
    kept = rows[rows["saved"].astype(bool)]
    points = np.empty(len(kept), dtype=object)
    points[:] = file.images("image", len(kept))
    return kept.assign(split=SPLIT, label=kept["source"], point=points)
