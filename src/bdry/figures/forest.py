"""The picture of a paper's verdicts: an interval plot of every part that decides a claim (forest plot)."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..selection.effects import RATIO
from ..selection.page import deciding
from ..selection.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED
from .curves import log_labels
from .style import RC, save, shown

STEM = "claims-forest"
COLUMNS = [
    "claim",
    "dataset",
    "part",
    "statistic",
    "scale",
    "value",
    "low",
    "high",
    "bound",
    "side",
    "part_verdict",
]
# rows that are alike in these share an axis
PANEL_OF = ["claim", "scale", "statistic"]
COLOURS = {SUPPORTED: "#009E73", CONTRADICTED: "#D55E00", UNDECIDED: "#555555"}
MARKERS = {SUPPORTED: "o", CONTRADICTED: "s", UNDECIDED: "D"}
WIDTH, LINE, PANEL, LEGEND = 9.0, 0.19, 0.75, 0.6
# room at both ends of an axis, of its length; intervals wider than this many times the median may run out of it
BEYOND, WIDE = 0.06, 3.0


def drawn(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a value and a part in their verdict; the page beside the picture has the others too."""
    return verdicts.loc[deciding(verdicts), COLUMNS].reset_index(drop=True)


def forest(rows: pd.DataFrame, title: str) -> Figure:
    """A panel for each claim and scale, a line for each part: its value, interval and, dashed, the bound."""
    panels = [part for _, part in rows.groupby(PANEL_OF, sort=False)]
    heights = [LINE * len(part) + PANEL for part in panels]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(WIDTH, sum(heights) + LEGEND), layout="constrained")
        figure.suptitle(title, fontsize=10)
        axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axis, part in zip(axes, panels, strict=True):
            _panel(axis, part)
        handles = [
            Line2D([], [], color=COLOURS[one], marker=MARKERS[one], label=one, markersize=4, linewidth=1.2)
            for one in COLOURS
        ]
        handles.append(Line2D([], [], color="#000000", linestyle="--", linewidth=0.9, label="bound"))
        hollow = {"marker": "o", "markerfacecolor": "white", "linestyle": "none", "markersize": 4}
        handles.append(Line2D([], [], color="#555555", label="no interval", **hollow))  # type: ignore[arg-type]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    for position, row in enumerate(part.to_dict("records")):
        colour, known = COLOURS[row["part_verdict"]], bool(np.isfinite(row["low"]))
        if known:
            axis.plot([row["low"], row["high"]], [position] * 2, color=colour, linewidth=1.6)
        face = colour if known else "white"
        marker = MARKERS[row["part_verdict"]]
        axis.plot(row["value"], position, marker, color=colour, markerfacecolor=face, markersize=4)
        axis.plot([row["bound"]] * 2, [position - 0.5, position + 0.5], color="#000000", linestyle="--", linewidth=0.9)
    axis.set_yticks(range(len(part)), [shown(f"{row.dataset}: {row.part}") for row in part.itertuples()], fontsize=7)
    axis.set_ylim(len(part) - 0.4, -0.6)
    first = part.iloc[0]
    axis.set_title(f"{first['claim']}: {shown(first['statistic'])}", loc="left", fontsize=8.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="y", visible=False)
    _limit(axis, part)


def _limit(axis: Axes, part: pd.DataFrame) -> None:
    low, high, is_log = limits(part)
    if is_log:
        axis.set_xscale("log")
    axis.set_xlim(low, high)
    if is_log:
        log_labels(axis.xaxis)


def limits(part: pd.DataFrame) -> tuple[float, float, bool]:
    """Ends of the axis of a panel, about values, bounds and intervals, and whether it is logarithmic, as for ratios.

    An interval that is much wider than most may run out of it.
    """
    points = part[["value", "bound", "low", "high"]].astype(float)
    is_log = part["scale"].iloc[0] == RATIO.name and bool((points[["value", "bound"]] > 0).all(axis=None))
    if is_log:
        points = np.log(points.where(points > 0))
    width = points["high"] - points["low"]
    points.loc[width > WIDE * width.median(), ["low", "high"]] = np.nan
    least, most = float(np.nanmin(points)), float(np.nanmax(points))
    room = BEYOND * ((most - least) or max(abs(most), 1.0))
    low, high = least - room, most + room
    return (float(np.exp(low)), float(np.exp(high)), True) if is_log else (low, high, False)


def draw(verdicts: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Writes the picture of what `judge` gave, with its data, into `folder`; nothing where `drawn` finds no row."""
    rows = drawn(verdicts)
    return save(forest(rows, title), rows, folder / STEM) if len(rows) else []
