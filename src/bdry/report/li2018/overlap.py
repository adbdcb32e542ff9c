"""Figure `overlap`: overlaps of support vectors and agreement of labels between the last layer and S1 over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..curves import Legend, over_epochs, share_panel
from ..points import EXPERIMENT, over_seeds
from .rows import save_parts, separable_rows

PANELS = {
    "Jaccard index": {"lowest margins": "jaccard_margin", "highest losses": "jaccard_loss", "pairs": "jaccard_pairs"},
    "agreement with S1": {"training images": "agree_train", "test images": "agree_test", "grid": "agree_grid"},
}
WHAT = (
    "Left: overlap of S1's support vectors with as many training images of lowest margin, of highest loss, and of its "
    "support pairs with as many pairs of lowest margin. Right: share of points to which the network and S1 give the "
    "same label; a high share is no sign of convergence. Means over seeds, bands from the smallest to the largest."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each experiment."""
    return save_parts("overlap", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws; columns of `points.over_seeds`, `seed` being the first of them."""
    rows = separable_rows(records)
    if rows.empty:
        return rows
    rows = rows[(rows["variant"] == "S1") & (rows["stage"] == "whole")]
    parts = [
        rows.assign(panel=panel, series=series, value=rows[column], num_images=rows["num_samples"])
        for panel, columns in PANELS.items()
        for series, column in columns.items()
    ]
    points = pd.concat(parts, ignore_index=True)
    points = points[points["value"].notna()]
    if points.empty:
        return points
    curves = over_seeds(points, [*EXPERIMENT, "panel", "series"])
    return curves.merge(points.groupby("run", as_index=False)["seed"].min())


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [[share_panel(name, name) for name in PANELS]]
    legend = Legend([series for columns in PANELS.values() for series in columns])
    return over_epochs(drawn, layout, legend, title)
