"""What a run has on single images: margins over training, nearest boundary points, borderline instances.

Margins are the probe's and those of finished measurements by `bdry margin`; points and instances are arrays that
measurements keep, and are read with care: a run's folder may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import RunError
from ..runs import TABLES, Measurement, Run, RunRecord
from ..selection import Source, rank, select

IMAGE = ["split", "index"]
CURVE = ["norm", "clipped", "estimator"]
UNIT = [*IMAGE, *CURVE]
OF_A_POINT = ["margin", "ratio", "boundary_class"]
OF_AN_INSTANCE = ["target", "attempts", "p_source", "p_target", "distance"]


@dataclass(frozen=True)
class Curves:
    """rows: of the table margins, each image, moment, norm, box and estimator once."""

    rows: pd.DataFrame

    @cached_property
    def moments(self) -> list[tuple[int, float]]:
        """(step, epoch) of all moments, in order."""
        moments = self.rows[["step", "epoch"]].drop_duplicates("step").sort_values("step")
        return [(int(row.step), float(f"{row.epoch:.5g}")) for row in moments.itertuples()]

    @cached_property
    def _places(self) -> dict[Any, np.ndarray]:
        """Where each image's rows are: a table of a long training is looked through once, not for each image."""
        return dict(self.rows.groupby(IMAGE).indices)

    def images(self) -> pd.DataFrame:
        """Columns split, index, label."""
        return self.rows[[*IMAGE, "label"]].drop_duplicates(IMAGE)

    def of(self, split: str, index: int) -> dict[str, Any]:
        """Of one image, at each of `moments`: predicted class, confidence, and margin and class beyond by curve."""
        own = self.rows.take(self._places.get((split, index), []))
        steps = [step for step, _ in self.moments]
        about = own.drop_duplicates("step").set_index("step").reindex(steps)
        series = []
        for (norm, clipped, estimator), part in own.groupby(CURVE, sort=False):
            at = part.set_index("step").reindex(steps)
            numbers = {name: _plain(at[name]) for name in ("margin", "boundary_class")}
            series.append({"norm": norm, "clipped": bool(clipped), "estimator": estimator, **numbers})
        return {"predicted": _plain(about["predicted"]), "confidence": _plain(about["confidence"]), "series": series}


def curves(record: RunRecord) -> Curves:
    """The margins of every image that was measured, with whatever settings; those that count first."""
    rows = _every_image(record, "margins")
    return Curves(below([rows], TABLES["margins"].column_names).drop_duplicates([*IMAGE, "step", *CURVE]))


class Point(NamedTuple):
    """A boundary point and its image, (C, H, W) each, with the class beyond."""

    point: np.ndarray
    image: np.ndarray
    boundary_class: int


@dataclass
class Nearest:
    """rows: each image, norm, box and estimator once, at the last moment measured: `UNIT`, step, `OF_A_POINT`.

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
        found = []
        for row in _of_image(self.rows, split, index).sort_values(CURVE).to_dict("records"):
            about = {"norm": row["norm"], "clipped": bool(row["clipped"]), "estimator": row["estimator"]}
            point = self.points.get(tuple(row[name] for name in [*UNIT, "step"]))
            numbers = {"step": int(row["step"]), **_numbers(row, OF_A_POINT)}
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
    rows = below([margins.rows, _every_image(record, "estimator_check")], [*UNIT, "step", *OF_A_POINT])
    last = rows[rows["step"] == rows.groupby(UNIT)["step"].transform("max")]
    # of each column the first value that is one: margins says the class beyond, estimator_check the ratio
    found = Nearest(last.groupby(UNIT, sort=False).first().reset_index())
    for source in _may_keep_points(record):
        for step in sorted(set(rows["step"])):
            if source.folder.arrays_path("points", step).exists():
                try:
                    found.add(source.folder, step)
                except RunError as error:
                    found.notes.append(str(error))
    return found


def _may_keep_points(record: RunRecord) -> list[Source]:
    """The measurements that may, those whose rows count first."""
    tables = ("margins", "estimator_check")
    found = [source for name in tables for source in rank([record], name, variants=True)[0].sources]
    return list({source.name: source for source in found}.values())


@dataclass(frozen=True)
class Instances:
    """rows: one an instance whose image is kept: split, index, label, method, `OF_AN_INSTANCE`, and point, (C, H, W).

    notes: what is not there.
    """

    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def images(self) -> pd.DataFrame:
        """Columns split, index, label."""
        return self.rows[[*IMAGE, "label"]].drop_duplicates(IMAGE)

    def of(self, split: str, index: int) -> list[dict[str, Any]]:
        """Those that start from the image, the nearest first, each method and target once; `point` is an array."""
        own = _of_image(self.rows, split, index).drop_duplicates(["method", "target"])
        return [
            {"method": str(row["method"]), "point": row["point"], **_numbers(row, OF_AN_INSTANCE)}
            for row in own.sort_values("distance", kind="stable").to_dict("records")
        ]


def instances(record: RunRecord) -> Instances:
    """Those of the last moment of each of the run's measurements, with whatever settings; those that count first."""
    parts, notes = [], []
    for source in rank([record], "generation", variants=True)[0].sources:
        try:
            parts.append(_kept(source.folder))
        except RunError as error:
            notes.append(str(error))
    return Instances(below(parts, [*IMAGE, "label", "method", *OF_AN_INSTANCE, "point"]), notes)


def _kept(folder: Run | Measurement) -> pd.DataFrame:
    steps = folder.table("generation")["step"]
    file = ArrayFile.read(folder, "borderline", int(steps.max()) if len(steps) else 0)
    rows = file.rows(texts=["method"], numbers=["source", "index", "saved", *OF_AN_INSTANCE])
    kept = rows[rows["saved"].astype(bool)]
    points = np.empty(len(kept), dtype=object)
    points[:] = file.images("image", len(kept))
    # the file `borderline` is of training images
    return kept.assign(split="train", label=kept["source"], point=points)


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


def below(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all parts with these columns, one below the other; a column that a part lacks is nan there."""
    filled = [part[[name for name in columns if name in part]] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True).reindex(columns=columns) if filled else pd.DataFrame(columns=columns)


def _every_image(record: RunRecord, name: str) -> pd.DataFrame:
    """The rows of a table on all images, of measurements with other settings too, of images that no other has."""
    return select([record], name, variants=True, by=["index"]).rows


def _of_image(rows: pd.DataFrame, split: str, index: int) -> pd.DataFrame:
    return rows[(rows["split"] == split) & (rows["index"] == index)]


def _numbers(row: dict[Any, Any], names: Sequence[str]) -> dict[str, float | None]:
    return dict(zip(names, _plain(pd.Series([row[name] for name in names])), strict=True))


def _plain(column: pd.Series) -> list[float | None]:
    """Numbers of five digits for the page's script; None for what is not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in column.to_numpy(np.float64)]
