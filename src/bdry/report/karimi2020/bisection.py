"""Figure `bisection`: how the difference of the two probabilities falls from midpoint to midpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import METHOD_LABELS, METHODS, arrow, closest_looks, detailed_pairs, keep

# a quartile over fewer segments is noise
FEWEST_SEGMENTS = 5
WHAT = (
    "Median |p_s − p_t| over the segments that are not finished at the n-th midpoint, where at least 5 are; band: "
    "quartiles, of DeepDIG; dashed: beta, where bisection ends. One seed."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture, of one seed's first directions."""
    paths = []
    for look in closest_looks(records):
        directions = detailed_pairs(look)
        rows = look.table("bisection")
        rows = rows[rows["num_active"] >= FEWEST_SEGMENTS]
        drawn = rows[[pair in directions for pair in zip(rows["source"], rows["target"], strict=True)]]
        if len(drawn):
            figure = _figure(drawn, look.title, float(look.settings["beta"]))
            paths += keep("bisection", look.title, figure, drawn, records, folder, WHAT)
    return paths


def _figure(drawn: pd.DataFrame, title: str, beta: float) -> Figure:
    panels = list(drawn.groupby(["source", "target"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.3 * len(panels), 4.6), 3.3), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for place, ((s, t), part) in zip(axes, panels, strict=True):
            for number, name in enumerate(METHODS):
                curve = part[part["method"] == name]
                if curve.empty:
                    continue
                colour = COLOURS[number]
                place.plot(
                    curve["attempt"], curve["gap_median"], color=colour, label=METHOD_LABELS[name], linewidth=1.3
                )
                if name == "deepdig":
                    place.fill_between(
                        curve["attempt"], curve["gap_q25"], curve["gap_q75"], color=colour, alpha=0.15, linewidth=0
                    )
            place.axhline(beta, color="#555555", linestyle=(0, (4, 2)), linewidth=1)
            place.set_yscale("log")
            place.set_title(arrow(s, t))
            place.set_xlabel("midpoint")
        axes[0].set_ylabel("median |p_s − p_t|")
        figure.suptitle(f"bisection: {title}", fontsize=10.5)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
