"""Figure R3: mean margin over training, standard against adversarial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, margin_panel, norms_in, over_epochs
from ..points import EXPERIMENT, in_order, margin_points, of_study, over_seeds, series

SPLITS = ("train", "test")
WHAT = (
    "Mean margin over standard and over adversarial training, by split and norm. Dashed line: the radius that was "
    "trained against, in the attack's norm."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws R3 for each data set and architecture with adversarial training."""
    return save_each("R3", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`, a series a training."""
    points = margin_points(of_study(records, "main"))
    points["series"] = series(points)
    drawn = over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])
    return drawn[with_adversary(drawn)]


def with_adversary(drawn: pd.DataFrame) -> pd.Series:
    """Which rows are of a data set and architecture that has adversarial training to compare."""
    adversarial = drawn["training"] != "standard"
    return adversarial.groupby([drawn["dataset"], drawn["arch"]]).transform("any")


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"])
    layout = [[margin_panel(norm, f"{split} {norm}", f"{split} images") for norm in norms] for split in SPLITS]
    placed = drawn.assign(panel=drawn["split"] + " " + drawn["panel"])
    return over_epochs(placed, layout, Legend(in_order(drawn["series"])), title)
