"""Figure `distance`: how far borderline instances are from their source images, by method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import METHOD_LABELS, METHODS, Look, arrow, closest_looks, detailed_pairs, keep

NUM_BINS = 30
SUCCESS = 0
WHAT = (
    "Distribution of the l2 distance between borderline instance and source image, pixel units of [0, 1], by method; "
    "ticks: medians. One seed; each method over the images for which it succeeded, whose number is in the legend: "
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
    panels = list(drawn.groupby(["source", "target"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.9 * len(panels), 4.6), 3.4), layout="constrained")
        for place, ((s, t), part) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for number, method in enumerate(METHODS):
                bins = part[part["method"] == method]
                if bins.empty:
                    continue
                colour, label = COLOURS[number], f"{METHOD_LABELS[method]} ({bins['num_images'].iloc[0]})"
                edges = [*bins["low"], bins["high"].iloc[-1]]
                place.stairs(bins["share"], edges, color=colour, label=label, linewidth=1.3)
                place.plot(bins["median"].iloc[0], 0, marker="^", color=colour, markersize=6, clip_on=False, zorder=3)
            place.set_title(arrow(s, t))
            place.set_xlabel("$\\ell_2$ distance to the source image")
            place.set_ylabel("share of instances")
            place.set_ylim(bottom=0)
            place.legend(fontsize=7)
        figure.suptitle(f"distance: {title}", fontsize=10.5)
    return figure
