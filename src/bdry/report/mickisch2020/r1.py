"""Figure R1: mean margin over standard training, train and test, in each norm; below it error and loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, margin_panel, norms_in, over_epochs, share_panel
from ..points import EXPERIMENT, history_points, in_order, margin_points, of_study, over_seeds, series

SPLITS = {"train": 0, "test": 1}
BELOW = (
    ("error", "train", "train_accuracy"),
    ("error", "test", "test_accuracy"),
    ("loss", "train", "train_loss"),
    ("loss", "test", "test_loss"),
)
WHAT = "Standard training: mean margin of train and test images over training, by norm; below it error and loss."


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws R1 for each data set and architecture; runs without margins are left out."""
    return save_each("R1", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`; panels `l2`, `linf`, `error` and `loss`."""
    standard = [record for record in of_study(records, "main") if record.identity["training"] == "standard"]
    margins, below = margin_points(standard), history_points(standard, BELOW)
    points = pd.concat([margins, below[below["run"].isin(margins["run"])]], ignore_index=True)
    points["series"] = series(points)
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [
        [margin_panel(norm) for norm in norms_in(drawn["panel"])],
        [share_panel("error", "error (share of images)"), Panel("loss", "cross-entropy (nats)", log=True)],
    ]
    return over_epochs(drawn, layout, Legend(in_order(drawn["series"]), "split", SPLITS), title)
