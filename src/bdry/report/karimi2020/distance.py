"""Figure `distance`: how far borderline instances are from their source images, by method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import METHOD_LABELS, METHODS, Look, arrow, closest_looks, detailed_pairs, keep

NUM_BINS = 30
SUCCESS = 0
WHAT = (
    "Distribution of the l2 distance between borderline instance and source image, pixel units of [0, 1], by method; "
    "lines: medians; heights are of each method alone. One seed; each method over the n images for which it succeeded: "
    "medians on the images that all have in common are in the table `generation`."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture, of one seed's first directions."""
    paths = []
    for look in closest_looks(records):
        drawn = drawn_data(look)
        if len(drawn):
            paths += keep("distance", look.title, _figure(drawn, look.title), drawn, records, folder, WHAT)
    return paths


def drawn_data(look: Look) -> pd.DataFrame:
    """Exactly what the figure draws: a row a bin of a direction and method; share is of the method's successes."""
    found = look.borderline
    rows = []
    for s, t in detailed_pairs(look):
        chosen = (found["source"] == s) & (found["target"] == t) & (found["outcome"] == SUCCESS)
        if not chosen.any():
            continue
        edges = np.linspace(0, float(found["distance"][chosen].max()) * 1.0001, NUM_BINS + 1)
        for method in METHODS:
            distance = found["distance"][chosen & (found["method"] == method)]
            if not len(distance):
                continue
            counts, _ = np.histogram(distance, edges)
            about = {"source": s, "target": t, "method": method, "num_images": len(distance)}
            for low, high, count in zip(edges, edges[1:], counts, strict=False):
                share = count / len(distance)
                median = float(np.median(distance))
                rows.append({**about, "low": low, "high": high, "share": share, "median": median})
    return pd.DataFrame(rows).assign(**look.record.identity) if rows else pd.DataFrame()


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    """A row a method, hence no two histograms on top of each other; a column a direction."""
    panels = list(drawn.groupby(["source", "target"]))
    methods = [name for name in METHODS if (drawn["method"] == name).any()]
    with matplotlib.rc_context(RC):
        size = (max(3.3 * len(panels), 4.0) + 1.0, 0.5 * len(methods) + 1.1)
        figure = Figure(figsize=size, layout="constrained")
        rows = figure.subplots(len(methods), len(panels), squeeze=False, sharex="col")
        for column, ((s, t), part) in enumerate(panels):
            for row, name in enumerate(methods):
                place = rows[row][column]
                _histogram(place, part[part["method"] == name], COLOURS[METHODS.index(name)])
                if column == 0:
                    place.set_ylabel(METHOD_LABELS[name], rotation=0, ha="right", va="center", fontsize=8)
            rows[0][column].set_title(arrow(s, t))
            rows[-1][column].set_xlabel("$\\ell_2$ distance to the source image")
        figure.suptitle(f"distance: {title}", fontsize=10.5)
    return figure


def _histogram(place: Axes, bins: pd.DataFrame, colour: str) -> None:
    place.set_yticks([])
    place.spines["left"].set_visible(False)
    if bins.empty:
        return
    place.stairs(bins["share"], [*bins["low"], bins["high"].iloc[-1]], color=colour, fill=True, alpha=0.75)
    place.axvline(bins["median"].iloc[0], color="#333333", linewidth=1.2)
    place.set_ylim(bottom=0)
    place.text(1, 0.9, f"n = {bins['num_images'].iloc[0]}", transform=place.transAxes, ha="right", va="top", fontsize=7)
