"""The nearest boundary point of single images by each estimator: margins from tables, points from arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import RunError
from ..runs import Measurement, Run, RunRecord
from ..selection import Source, rank
from .arrays import ArrayFile
from .curves import CURVE, IMAGE, Curves, below, plain, single_images

UNIT = [*IMAGE, *CURVE]
NUMBERS = ["margin", "ratio", "boundary_class"]


class Point(NamedTuple):
    """A boundary point and its image, (C, H, W) each, with the class beyond."""

    point: np.ndarray
    image: np.ndarray
    boundary_class: int


@dataclass
class Nearest:
    """rows: each image, norm, box and estimator once, at the last moment measured: `UNIT`, step, `NUMBERS`.

    ratio: to the smallest margin that several estimators found, nan where one alone looked. points: by the values of
    `UNIT` and the step. kept: the images that have points: columns split, index, label. notes: what is not there.
    """

    rows: pd.DataFrame
    points: dict[tuple[Any, ...], Point] = field(default_factory=dict)
    kept: list[pd.DataFrame] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def images(self) -> pd.DataFrame:
        """Those whose points are kept: columns split, index, label."""
        return below(self.kept, [*IMAGE, "label"]).drop_duplicates(IMAGE)

    def of(self, split: str, index: int) -> list[dict[str, Any]]:
        """A dict an estimator, norm and box; `point` and `image` are arrays where these are kept."""
        own = self.rows[(self.rows["split"] == split) & (self.rows["index"] == index)]
        found = []
        for row in own.sort_values(CURVE).to_dict("records"):
            about = {"norm": row["norm"], "clipped": bool(row["clipped"]), "estimator": row["estimator"]}
            about["step"] = int(row["step"])
            numbers = dict(zip(NUMBERS, plain(pd.Series([row[name] for name in NUMBERS])), strict=True))
            point = self.points.get(tuple(row[name] for name in [*UNIT, "step"]))
            found.append(about | numbers | (point._asdict() if point else {}))
        return found

    def add(self, folder: Run | Measurement, step: int) -> None:
        """The points that a measurement keeps of a moment."""
        file = ArrayFile.read(folder, "points", step)
        kept = file.rows(texts=["split", "norm", "estimator"], numbers=["index", "clipped", "label", "boundary_class"])
        arrays = [file.images(name, len(kept)) for name in ("point", "image")]
        for row, point, image in zip(kept.to_dict("records"), *arrays, strict=True):
            key = tuple(row[name] for name in UNIT)
            self.points.setdefault((*key, step), Point(point, image, int(row["boundary_class"])))
        self.kept.append(kept)


def nearest(record: RunRecord, margins: Curves) -> Nearest:
    """What the run's tables and arrays have at the last moment of each image, norm, box and estimator."""
    rows = below([margins.rows, single_images(record, "estimator_check")], [*UNIT, "step", *NUMBERS])
    last = rows[rows["step"] == rows.groupby(UNIT)["step"].transform("max")]
    # of each column the first value that is one: margins says the class beyond, estimator_check the ratio
    found = Nearest(last.groupby(UNIT, sort=False).first().reset_index())
    for source in _sources(record):
        for step in sorted(set(rows["step"])):
            if source.folder.arrays_path("points", step).exists():
                try:
                    found.add(source.folder, step)
                except RunError as error:
                    found.notes.append(str(error))
    return found


def _sources(record: RunRecord) -> list[Source]:
    """The measurements that may keep points, those whose rows count first."""
    tables = ("margins", "estimator_check")
    found = [source for name in tables for source in rank([record], name, variants=True)[0].sources]
    return list({source.name: source for source in found}.values())
