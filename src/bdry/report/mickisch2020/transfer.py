"""Figure `transfer`: train against one norm, measure margins in the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, add_legend, epoch_axis, grid, margin_panel, norms_in, plot
from ..points import EXPERIMENT, in_order, last_moment, margin_points, of_study, over_seeds, series
from ..style import RC, shown
from .r3 import with_adversary

SPLITS = {"train": 0, "test": 1}
SIDE_BY_SIDE = {"train": -0.12, "test": 0.12}
WHAT = (
    "Transfer between norms: mean margins of test images over training, by the norm trained against (colour) and the "
    "norm measured (column); below it those of train and test images at the last moment. Dashed line: the radius that "
    "was trained against, in the attack's norm."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture with adversarial training."""
    return save_each("transfer", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`; panels `l2`, `linf`, `last l2` and `last linf`."""
    points = margin_points(of_study(records, "main", "transfer"))
    points["series"] = series(points)
    last = last_moment(points)
    placed = pd.concat([points[points["split"] == "test"], last.assign(panel="last " + last["panel"])])
    drawn = over_seeds(placed, [*EXPERIMENT, "series", "panel", "split"])
    return drawn[with_adversary(drawn)]


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, names = norms_in(drawn["panel"]), in_order(drawn["series"])
    layout = [
        [margin_panel(norm, title="test images") for norm in norms],
        [margin_panel(norm, f"last {norm}", "last moment") for norm in norms],
    ]
    legend = Legend(names, "split", SPLITS)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            points = drawn[drawn["panel"] == panel.name]
            if panel.name.startswith("last"):
                _last(place, points, legend)
            else:
                plot(place, points, legend, panel)
                epoch_axis(place, points["epoch"])
                place.set_xlabel("epoch")
        add_legend(figure, legend)
    return figure


def _last(axis: Axes, points: pd.DataFrame, legend: Legend) -> None:
    for row in points.itertuples():
        style = {**legend.style(row.series, row.split), "linestyle": "", "markersize": 5}
        x = legend.series.index(row.series) + SIDE_BY_SIDE[row.split]
        axis.plot([x], [row.value], **style)
        if row.low == row.low:
            axis.vlines(x, row.low, row.high, color=style["color"], linewidth=1.2)
    axis.set_xticks(range(len(legend.series)), [shown(name) for name in legend.series])
    axis.set_xlim(-0.5, len(legend.series) - 0.5)
    axis.set_xlabel("training")
    axis.set_ylim(bottom=0)
