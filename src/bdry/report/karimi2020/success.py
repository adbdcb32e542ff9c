"""Figure `success`: what became of the segments of each method, with the share that fell into a third class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import METHOD_LABELS, METHODS, PAIR, arrow, experiments, keep, main_alpha, rows_of

MOST_PAIRS = 6
OUTCOMES = {"success": COLOURS[0], "third class": COLOURS[1], "stalled": "#999999"}
WHAT = (
    "Share of segments whose bisection ended in a borderline instance, fell into a third class or stalled, mean over "
    "seeds, by method and direction. Right: coverage, the share of correctly predicted images that have a segment."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture."""
    return [
        path
        for title, drawn in experiments(drawn_data(records))
        for path in keep("success", title, _figure(drawn, title), drawn, records, folder, WHAT)
    ]


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a panel, method; shares are means over seeds (and over pairs in `mean`)."""
    rows = main_alpha(rows_of(records, "generation"))
    if rows.empty:
        return rows
    total = rows["num_pairs"].where(rows["num_pairs"] > 0)
    rows = rows.assign(
        success=rows["num_success"] / total, third=rows["num_third"] / total, stalled=rows["num_stalled"] / total
    )
    parts = []
    for _, part in rows.groupby(["dataset", "arch", "run"]):
        # the directions that most seeds have come first
        counts = part.groupby(PAIR)["seed"].nunique().sort_values(ascending=False, kind="stable")
        shown = sorted(counts.index[:MOST_PAIRS])
        for s, t in shown:
            chosen = part[(part["source"] == s) & (part["target"] == t)]
            parts.append(_means(chosen).assign(panel=arrow(s, t)))
        if len(counts) > MOST_PAIRS:
            parts.append(_means(part).assign(panel=f"mean of {len(counts)} directions"))
    return pd.concat(parts, ignore_index=True)


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["dataset", "arch", "run", "method"]
    return (
        rows.groupby(keys)
        .agg(
            success=("success", "mean"),
            third=("third", "mean"),
            stalled=("stalled", "mean"),
            coverage=("coverage", "mean"),
            num_segments=("num_pairs", "sum"),
            num_seeds=("seed", "nunique"),
        )
        .reset_index()
    )


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = list(dict.fromkeys(drawn["panel"]))
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    methods = [name for name in METHODS if (drawn["method"] == name).any()]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(1.6 + 2.3 * columns, 0.9 + rows * (0.6 + 0.27 * len(methods))), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
        for place in axes.flat[len(panels) :]:
            place.set_visible(False)
        for place, panel in zip(axes.flat, panels, strict=False):
            _bars(place, drawn[drawn["panel"] == panel].set_index("method").reindex(methods))
            place.set_title(panel)
        figure.suptitle(f"success: {title}", fontsize=10.5)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        for place in axes[-1]:
            place.set_xlabel("share of segments")
    return figure


def _bars(axis: Axes, rows: pd.DataFrame) -> None:
    left = pd.Series(0.0, index=rows.index)
    labels = [METHOD_LABELS[name] for name in rows.index]
    for (name, colour), column in zip(OUTCOMES.items(), ("success", "third", "stalled"), strict=True):
        width = rows[column].fillna(0)
        axis.barh(labels, width, left=left, color=colour, label=name, height=0.7)
        left += width
    for position, coverage in enumerate(rows["coverage"]):
        text = "no segment" if not coverage > 0 else f"{coverage:.0%}"
        axis.annotate(text, (1.02, position), va="center", fontsize=7.5, annotation_clip=False)
    axis.set_xlim(0, 1)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.set_axisbelow(True)
