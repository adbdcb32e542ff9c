"""Figure `profile`: principal curvatures by rank, averaged over boundary points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, add_legend, grid
from ..points import EXPERIMENT, in_order
from ..style import RC
from .sources import last_rows

FAMILIES = {
    "nearest_refined": "nearest point",
    "deepfool_end": "DeepFool's end point",
    "nat_segment": "between two images",
    "random_dir": "in a random direction",
}
# so many decades below the largest value drawn the axis becomes linear
DECADES = 3
WHAT = (
    "Principal curvatures of the decision boundary at points of four families, in descending order: mean at each rank "
    "over points and seeds, bands from the 10 % to the 90 % quantile over points (mean over seeds). Logarithmic but "
    "for values near 0. F = f_own - f_other: positive curvature bends away from the image."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and method whose runs have dense spectra."""
    by = ["dataset", "arch", "method"]
    return save_each("profile", drawn_data(records), records, folder, _figure, WHAT, by=by, quartiles=False)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a series, family, method, scale and rank; curvatures in 1 / pixel units."""
    rows = last_rows(records, "curvature_profile")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch", "method"])
    rows = rows.assign(method=_named(rows))
    keys = [*EXPERIMENT, "series", "method", "family", "rank"]
    grouped = rows.groupby(keys, sort=True).agg(
        value=("mean", "mean"),
        low=("q10", "mean"),
        high=("q90", "mean"),
        num_seeds=("seed", "nunique"),
        num_images=("num_points", "min"),
    )
    return grouped.reset_index()


def _named(rows: pd.DataFrame) -> pd.Series:
    """Method and scale in one name."""
    scale = rows["scale"].map(lambda value: "" if pd.isna(value) else f" {value:.3g}")
    return rows["method"] + scale


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in FAMILIES if (drawn["family"] == name).any()]
    panels = [Panel(name, "curvature (1 / pixel units)", FAMILIES[name], bottom=None) for name in names]
    layout = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    legend = Legend(in_order(drawn["series"]))
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            _curves(place, drawn[drawn["family"] == panel.name], legend)
            largest = float(drawn["value"].abs().max())
            top = math.ceil(math.log10(largest)) if largest > 0 else 0
            place.set_yscale("symlog", linthresh=10.0 ** (top - DECADES), linscale=0.5)
            decades = [10.0**exponent for exponent in range(top - DECADES + 1, top + 1)]
            place.set_yticks([*(-tick for tick in reversed(decades)), 0, *decades])
            place.set_xlabel("rank")
        add_legend(figure, legend)
    return figure


def _curves(axis: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    axis.axhline(0, color="#888888", linewidth=0.8)
    for name, curve in rows.sort_values("rank").groupby("series"):
        style = legend.style(str(name)) | {"marker": "", "linewidth": 1.2}
        axis.plot(curve["rank"], curve["value"], **style)
        axis.fill_between(curve["rank"], curve["low"], curve["high"], color=style["color"], alpha=0.1, linewidth=0)
