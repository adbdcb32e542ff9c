"""Figure `controls`: mean margin over training with another initialisation, optimiser, architecture or schedule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, margin_panel, norms_in, over_epochs
from ..points import CONTROL, EXPERIMENT, in_order, margin_points, over_seeds, series

SPLITS = ("train", "test")
WHAT = "Mean margin over training in each control beside the main runs of standard training, by split and norm."


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set that has controls."""
    return save_each("controls", drawn_data(records), records, folder, _figure, WHAT, by=["dataset"], quartiles=False)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`, a series a control, `standard` the main runs."""
    chosen = []
    for record in records:
        about = record.identity
        if about["study"].startswith(CONTROL) or (about["study"] == "main" and about["training"] == "standard"):
            chosen.append(record)
    # bands of images would hide those of seeds
    points = margin_points(chosen).drop(columns=["q25", "q75"])
    points["series"] = series(points, several_archs=True)
    drawn = over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])
    is_control = drawn["study"] != "main"
    return drawn[is_control.groupby(drawn["dataset"]).transform("any")]


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [
        [margin_panel(norm, f"{split} {norm}", f"{split} images") for norm in norms_in(drawn["panel"])]
        for split in SPLITS
    ]
    placed = drawn.assign(panel=drawn["split"] + " " + drawn["panel"])
    return over_epochs(placed, layout, Legend(in_order(drawn["series"])), title)
