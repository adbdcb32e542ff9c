"""`bdry margin`: margins batch by batch, by one estimator or several, of the images that were chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import nn

from ...core.measuring import measuring
from ...core.moment import Moment
from ...data import Split
from ...margins import Estimator
from ...runs import TABLES, Measurement, read_table
from ..measured import Measured
from ..pieces import Piece
from .batches import FittingBatches
from .figures.estimators import draw_histograms
from .nearest_points import nearest_points
from .probe import measure_batch, summarise

FIRST_BATCH = 512
POINTS = "points"


@dataclass
class MarginsInBatches:
    """Margins of `images`, of each estimator, in each norm and box; the first estimator is the measurement's own.

    images: by split. towards: distances to the region of this class; None: to the nearest other one. points: the
    images, by split, whose nearest boundary points at the moment `points_at` are kept as arrays. batch_size: None: 512
    images; halved where memory runs out. draw: the curve over several moments. say: told of a smaller batch.
    """

    images: Mapping[str, Split]
    estimators: Mapping[str, Estimator]
    norms: Sequence[str]
    clipped: Sequence[bool]
    towards: int | None
    points: Mapping[str, Split]
    points_at: int
    batch_size: int | None
    title: str
    draw: Callable[[Measurement], object]
    say: Callable[[str], None] = print
    unit: str = "image"
    batches: FittingBatches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = FittingBatches(self.batch_size or FIRST_BATCH, self._say_smaller)

    def size(self, moment: Moment) -> int:
        """Images to measure, those whose points are kept once more."""
        points = self.points if moment.step == self.points_at else {}
        return sum(map(len, [*self.images.values(), *points.values()]))

    def pieces(self, classifier: nn.Module, moment: Moment, done: Mapping[str, int]) -> Iterator[Piece]:
        """A batch each, then the points."""
        with measuring(classifier):
            for name, split in self.images.items():
                about = {"step": moment.step, "epoch": moment.epoch, "split": name}
                missing = split[done.get(name, 0) :]
                for batch, tables in self.batches.measure(missing, lambda batch: self._measured(classifier, batch)):
                    found = {table: rows.assign(**about) for table, rows in tables.items()}
                    yield Piece(name, len(batch), Measured(found))
            if self.points and moment.step == self.points_at:
                arrays = nearest_points(classifier, self.points, self.estimators, self.norms, self.clipped)
                yield Piece(POINTS, sum(map(len, self.points.values())), Measured({}, {POINTS: arrays}))

    def finish(self, folder: Measurement) -> None:
        """The table `margin_summary`, the histograms and, of several moments, the curve."""
        margins = read_table(folder.table_path("margins"), TABLES["margins"])
        # a CSV's digits tell every float32 apart; the summary is then that of the values as they were measured
        margins = margins.astype({"margin": np.float32, "lower_bound": np.float32})
        folder.writer("margin_summary").replace(summarise(margins))
        draw_histograms(margins, self.title, folder.figures)
        if margins["step"].nunique() > 1 and margins["success"].any():
            self.draw(folder)

    def _measured(self, classifier: nn.Module, batch: Split) -> dict[str, pd.DataFrame]:
        rows = [
            measure_batch(classifier, batch, estimator, name, self.norms, self.clipped, self.towards)
            for name, estimator in self.estimators.items()
        ]
        return {"margins": rows[0]} if len(rows) == 1 else {"margins": rows[0], "estimator_check": against_best(rows)}

    def _say_smaller(self, before: int, now: int) -> None:
        self.say(f"not enough memory for {before} images at a time; going on with {now}")


def against_best(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of `estimator_check` for one batch, without step, epoch and split, from each estimator's `margins`."""
    keys = ["index", "norm", "clipped"]
    rows = pd.concat([table[[*keys, "estimator", "margin"]] for table in tables], ignore_index=True)
    rows = rows.astype({"margin": np.float64})
    best = rows.groupby(keys)["margin"].transform("min")
    ratio = (rows["margin"] / best).mask(rows["margin"] == best, 1.0)
    return rows.assign(best_known=best, ratio=ratio)
