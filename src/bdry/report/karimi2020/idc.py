"""Figure `idc`: IDC as coded against the grid, beside what does not depend on it, and where the flips come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import METHOD_LABELS, METHODS, PAIR, arrow, experiments, keep, main_alpha, rows_of

# flips of a linear classifier: which side an end lies on is chance
PLANE_FLIPS = 0.5
SHARES = {"first_step": "first step", "interior": "other steps", "hysteresis": "hysteresis"}
WHAT = (
    "Left: IDC as coded, flips / T, against T. Middle: flips a segment (solid) and hysteresis flips (dashed) on the "
    "same segments; dotted: what a plane has, 0.5 and 0. Means over seeds; bars: standard error clustered by start "
    "instance, of the first seed. Right: where the flips come from, by method, mean over directions and seeds."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture."""
    return [
        path
        for title, drawn in experiments(drawn_data(records))
        for path in keep("idc", title, _figure(drawn, title), drawn, records, folder, WHAT)
    ]


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws.

    Panel `grid`: a row a direction and T, of deepdig. Panel `methods`: a row a method.
    """
    rows = main_alpha(rows_of(records, "idc"))
    rows = rows[rows["flips"].notna()]
    if rows.empty:
        return rows
    keys = ["dataset", "arch", "run"]
    ours = rows[rows["method"] == "deepdig"]
    swept = ours[ours.groupby([*keys, *PAIR])["grid"].transform("nunique") > 1].sort_values("seed", kind="stable")
    values = ["idc", "flips", "first_step", "interior", "hysteresis"]
    curves = swept.groupby([*keys, *PAIR, "grid"])
    over_grids = curves[values].mean().join(curves[["idc_error", "flips_error", "hysteresis_error"]].first())
    over_grids = over_grids.join(curves["seed"].nunique().rename("num_seeds")).reset_index().assign(panel="grid")
    usual = rows[rows["grid"] == rows["grid"].mode().iloc[-1]]
    by_method = usual.groupby([*keys, "method", "grid"])[values].mean()
    by_method = by_method.join(usual.groupby([*keys, "method", "grid"])["seed"].nunique().rename("num_seeds"))
    return pd.concat([over_grids, by_method.reset_index().assign(panel="methods")], ignore_index=True)


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(10.2, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _against_grid(left, middle, drawn[drawn["panel"] == "grid"])
        _by_method(right, drawn[drawn["panel"] == "methods"])
        figure.suptitle(f"idc: {title}", fontsize=10.5)
        corners: list[tuple[Axes, Any]] = [(left, "outside lower left"), (right, "outside lower right")]
        for place, where in corners:
            handles, labels = place.get_legend_handles_labels()
            if handles:
                figure.legend(handles, labels, loc=where, ncols=6)
    return figure


def _against_grid(left: Axes, middle: Axes, rows: pd.DataFrame) -> None:
    for number, ((s, t), curve) in enumerate(rows.groupby(PAIR)):
        style: Any = {"color": COLOURS[number % len(COLOURS)], "marker": "o", "markersize": 3, "capsize": 2}
        left.errorbar(curve["grid"], curve["idc"], curve["idc_error"], label=arrow(s, t), **style)
        middle.errorbar(curve["grid"], curve["flips"], curve["flips_error"], **style)
        middle.errorbar(curve["grid"], curve["hysteresis"], curve["hysteresis_error"], linestyle=(0, (4, 1.5)), **style)
    middle.axhline(PLANE_FLIPS, color="#555555", linestyle=":", linewidth=1)
    for place, label in ((left, "IDC as coded (flips / T)"), (middle, "label flips a segment")):
        place.set_xscale("log")
        grids = sorted(rows["grid"].unique())
        place.set_xticks(grids, [str(grid) for grid in grids])
        place.set_xticks([], minor=True)
        place.set_xlabel("T, points a segment")
        place.set_ylabel(label)
    if len(rows):
        left.set_yscale("log")
    middle.set_ylim(bottom=0)


def _by_method(axis: Axes, rows: pd.DataFrame) -> None:
    methods = [name for name in METHODS if (rows["method"] == name).any()]
    rows = rows.set_index("method").reindex(methods)
    places = np.arange(len(methods))
    axis.bar(places - 0.18, rows["first_step"], 0.34, color="#bbbbbb", label="first step")
    axis.bar(places - 0.18, rows["interior"], 0.34, bottom=rows["first_step"], color=COLOURS[0], label="other steps")
    axis.bar(places + 0.18, rows["hysteresis"], 0.34, color=COLOURS[1], label="hysteresis")
    axis.axhline(PLANE_FLIPS, color="#555555", linestyle=":", linewidth=1)
    axis.set_xticks(places, [METHOD_LABELS[name] for name in methods], rotation=35, ha="right")
    grid = rows["grid"].iloc[0] if len(rows) else 0
    axis.set_ylabel(f"flips a segment, T = {grid:.0f}")
    axis.grid(axis="x", visible=False)
    axis.set_axisbelow(True)
