"""Margins of single images over training: of the probe, and of finished measurements by `bdry margin`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..runs import TABLES, RunRecord
from ..selection import select

IMAGE = ["split", "index"]
CURVE = ["norm", "clipped", "estimator"]


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
            numbers = {name: plain(at[name]) for name in ("margin", "boundary_class")}
            series.append({"norm": norm, "clipped": bool(clipped), "estimator": estimator, **numbers})
        return {"predicted": plain(about["predicted"]), "confidence": plain(about["confidence"]), "series": series}


def curves(record: RunRecord) -> Curves:
    """The margins of every image that was measured, with whatever settings; those that count first."""
    rows = single_images(record, "margins")
    return Curves(below([rows], TABLES["margins"].column_names).drop_duplicates([*IMAGE, "step", *CURVE]))


def single_images(record: RunRecord, name: str) -> pd.DataFrame:
    """The rows of a table on all images, of measurements with other settings too, of images that no other has."""
    return select([record], name, variants=True, by=["index"]).rows


def below(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all parts with these columns, one below the other; a column that a part lacks is nan there."""
    filled = [part[[name for name in columns if name in part]] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True).reindex(columns=columns) if filled else pd.DataFrame(columns=columns)


def plain(column: pd.Series) -> list[float | None]:
    """Numbers of five digits for the page's script; None for what is not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in column.to_numpy(np.float64)]
