"""Batches of the size that memory allows, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ...data import Split
from ...errors import MeasuringError, out_of_memory

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
