"""Margins of single images over training: of the probe, and of finished measurements by `bdry margin`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import RunError
from ...runs import TABLES, Measurement, RunRecord

IMAGE = ["split", "index"]
CURVE = ["norm", "clipped", "estimator"]


@dataclass(frozen=True)
class Curves:
    """rows: of the table margins, each image, moment, norm, box and estimator once."""

    rows: pd.DataFrame

    @property
    def moments(self) -> list[tuple[int, float]]:
        """(step, epoch) of all moments, in order."""
        moments = self.rows[["step", "epoch"]].drop_duplicates("step").sort_values("step")
        return [(int(row.step), float(f"{row.epoch:.5g}")) for row in moments.itertuples()]

    def images(self) -> pd.DataFrame:
        """Columns split, index, label."""
        return self.rows[[*IMAGE, "label"]].drop_duplicates(IMAGE)

    def of(self, split: str, index: int) -> dict[str, Any]:
        """Of one image, at each of `moments`: predicted class, confidence, and margin and class beyond by curve."""
        own = self.rows[(self.rows["split"] == split) & (self.rows["index"] == index)]
        steps = [step for step, _ in self.moments]
        about = own.drop_duplicates("step").set_index("step").reindex(steps)
        series = []
        for (norm, clipped, estimator), part in own.groupby(CURVE, sort=False):
            at = part.set_index("step").reindex(steps)
            numbers = {name: plain(at[name]) for name in ("margin", "boundary_class")}
            series.append({"norm": norm, "clipped": bool(clipped), "estimator": estimator, **numbers})
        return {"predicted": plain(about["predicted"]), "confidence": plain(about["confidence"]), "series": series}


def curves(record: RunRecord) -> Curves:
    """The table margins of the run, then of its measurements what the run has not measured itself."""
    parts = [measured_rows(record, "margins")]
    with suppress(RunError):
        parts.insert(0, record.table("margins"))
    return Curves(below(parts, TABLES["margins"].column_names).drop_duplicates([*IMAGE, "step", *CURVE]))


def measured_rows(record: RunRecord, name: str) -> pd.DataFrame:
    """A table of `to_nearest_class(record)`, one below the other."""
    rows = record.measured(name)
    if rows is None:
        return pd.DataFrame(columns=["measurement", *TABLES[name].column_names])
    return rows[rows["measurement"].isin([folder.name for folder in to_nearest_class(record)])]


def to_nearest_class(record: RunRecord) -> list[Measurement]:
    """The run's finished measurements, but for those of distances towards a class that was named."""
    return [folder for folder in record.measurements() if folder.read_config().get("towards") is None]


def below(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all parts with these columns, one below the other; a column that a part lacks is nan there."""
    filled = [part[[name for name in columns if name in part]] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True).reindex(columns=columns) if filled else pd.DataFrame(columns=columns)


def plain(column: pd.Series) -> list[float | None]:
    """Numbers of five digits for the page's script; None for what is not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in column.to_numpy(np.float64)]
