"""A moment of training: what a measurement's rows are labelled with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """After `step` optimiser steps, which are `epoch` epochs (a fraction within one); step 0 is initialisation."""

    step: int
    epoch: float


def moment_steps(steps: Sequence[int], epochs: Sequence[int], steps_per_epoch: int, total_steps: int) -> frozenset[int]:
    """The optimiser steps at which to measure: those listed, the ends of those epochs and of training, none later."""
    wanted = {*steps, *(epoch * steps_per_epoch for epoch in epochs), total_steps}
    return frozenset(step for step in wanted if step <= total_steps)
