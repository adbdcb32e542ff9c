"""The legend of figures that compare activations and trainings: a colour an activation, a line style a training."""

from __future__ import annotations

import pandas as pd

from ..curves import Legend
from ..points import TRAININGS, in_order
from ..style import shown

LINE = "line"


def by_activation_and_training(drawn: pd.DataFrame) -> tuple[pd.DataFrame, Legend]:
    """What is drawn with `series` cut down to the activation and the training in a column of its own; its legend."""
    trainings = drawn["training"].map(lambda name: TRAININGS.get(name, name))
    placed = drawn.assign(series=drawn["series"].str.partition(", ")[0], **{LINE: trainings.map(shown)})
    lines = {shown(name): number for number, name in enumerate(in_order(trainings))}
    return placed, Legend(in_order(placed["series"]), LINE, lines)
