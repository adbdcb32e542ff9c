"""`bdry margin`: margins of the images that were chosen, in batches that memory has room for, and boundary points."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...core.measuring import measuring
from ...core.moment import Moment
from ...data import Split
from ...errors import MeasuringError, out_of_memory
from ...margins import Estimator
from ...runs import Measurement
from ..measured import Measured, Piece
from .probe import measure_batch, summarise

FIRST_BATCH = 512
POINTS = "points"
R = TypeVar("R")


class FittingBatches:
    """Hands splits to a measurement batch by batch, in halves from the first batch on that memory is too small for.

    The size stays halved for all that follows. `on_smaller(before, now)` is told when a smaller batch has fitted.
    """

    def __init__(self, batch_size: int, on_smaller: Callable[[int, int], None] = lambda before, now: None) -> None:
        self.batch_size = batch_size
        self.on_smaller = on_smaller

    def measure(self, split: Split, measure: Callable[[Split], R]) -> Iterator[tuple[Split, R]]:
        """Every batch of `split` in its order, with what `measure` says of it.

        Raises `MeasuringError` where not even one image fits.
        """
        position = 0
        refused = None
        while position < len(split):
            batch = split[position : position + self.batch_size]
            result = _unless_out_of_memory(measure, batch)
            if result is None:
                if len(batch) == 1:
                    raise MeasuringError("not enough memory for a single image; choose another device or estimator")
                refused = refused or self.batch_size
                self.batch_size = len(batch) // 2
                # what the failed attempt held is given back before the next one
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            if refused is not None:
                self.on_smaller(refused, self.batch_size)
                refused = None
            position += len(batch)
            yield batch, result


def _unless_out_of_memory(measure: Callable[[Split], R], batch: Split) -> R | None:
    """None where memory ran out; the traceback, which would keep the attempt's tensors alive, is gone by then."""
    try:
        return measure(batch)
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            return None
        raise


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
        def smaller(before: int, now: int) -> None:
            self.say(f"not enough memory for {before} images at a time; going on with {now}")

        self.batches = FittingBatches(self.batch_size or FIRST_BATCH, smaller)

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
        # here, because matplotlib is slow to import, and the work begins sooner without it
        from .figures.estimators import draw_histograms

        margins = folder.table("margins")
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


def against_best(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of `estimator_check` for one batch, without step, epoch and split, from each estimator's `margins`."""
    keys = ["index", "norm", "clipped"]
    rows = pd.concat([table[[*keys, "estimator", "margin"]] for table in tables], ignore_index=True)
    rows = rows.astype({"margin": np.float64})
    best = rows.groupby(keys)["margin"].transform("min")
    ratio = (rows["margin"] / best).mask(rows["margin"] == best, 1.0)
    return rows.assign(best_known=best, ratio=ratio)


def nearest_points(
    classifier: nn.Module,
    images: Mapping[str, Split],
    estimators: Mapping[str, Estimator],
    norms: Sequence[str],
    clipped: Sequence[bool],
) -> dict[str, np.ndarray]:
    """The nearest boundary point of every image by each estimator, norm and box; failures are left out.

    `classifier` is in the state that `core.measuring` makes. Every array has a row a point: split, index and label of
    its image, norm, clipped, estimator, margin and boundary_class as in the table margins, image (uint8) and point
    (float32, pixel units of [0, 1]), both (n, C, H, W).
    """
    parts = []
    for (name, split), norm, in_box in itertools.product(images.items(), norms, clipped):
        x = split.pixels()
        for estimator_name, estimator in estimators.items():
            result = estimator(classifier, x, norm=norm, clipped=in_box)
            found = result.success
            rows = int(found.sum())
            about = {"split": name, "norm": norm, "clipped": in_box, "estimator": estimator_name}
            columns: dict[str, torch.Tensor] = {
                "index": split.index,
                "label": split.labels,
                "margin": result.margin,
                "boundary_class": result.boundary_class,
                "image": split.images,
                "point": result.point,
            }
            parts.append(
                {key: np.full(rows, value) for key, value in about.items()}
                | {key: column[found].cpu().numpy() for key, column in columns.items()}
            )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
