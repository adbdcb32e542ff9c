"""Figure `margin_evolution`: mean margin over training, train and test, in each norm; below it the error.

One figure a data set and architecture, with every run there is (controls only where there is nothing else: they have a
figure of their own); what a run draws of itself when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..runs import RunRecord
from .captions import save_each
from .curves import Legend, margin_panel, norms_in, over_epochs, share_panel
from .points import CONTROL, EXPERIMENT, history_points, in_order, margin_points, over_seeds, series

NAME = "margin_evolution"
SPLITS = {"train": 0, "test": 1}
ERRORS = (
    ("error", "train", "train_accuracy"),
    ("error", "test", "test_accuracy"),
    ("robust_error", "test", "robust_accuracy"),
)
WHAT = "Mean margin over training on the train and test split, by norm; below it the error, clean and under PGD."


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture among `records`; runs without margins show their error."""
    return save_each(NAME, drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a point of a curve, in panels `l2`, `linf`, `error` and `robust_error`.

    value, low, high, num_seeds, num_images: as in `points.over_seeds`. lower_bound: mean certified one, where margins
    were bracketed. adv_eps: the radius trained against, in the norm of the panel.
    """
    points = pd.concat([margin_points(records), history_points(records, ERRORS)], ignore_index=True)
    is_control = points["study"].str.startswith(CONTROL)
    points = points[~is_control | is_control.groupby([points["dataset"], points["arch"]]).transform("all")]
    points = points.assign(series=series(points))
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    margins = [margin_panel(norm) for norm in norms_in(drawn["panel"])]
    errors = [
        share_panel("error", "error (share of images)"),
        share_panel("robust_error", "error under PGD\n(share of test images)"),
    ]
    errors = [panel for panel in errors if (drawn["panel"] == panel.name).any()]
    layout = [row for row in (margins, errors) if row]
    return over_epochs(drawn, layout, Legend(in_order(drawn["series"]), "split", SPLITS), title)
