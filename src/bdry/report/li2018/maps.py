"""Figure `maps`: what the network and the SVMs say in the plane of two features, and of two pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .rows import STAGES, Look, identified, keep, looks

WHAT = (
    "Regions of the network and of SVMs, training images as points, support vectors of S1 ringed; grey: where the two "
    "disagree. Rows of features: the last layer as the whole network left it, then trained on, features frozen. The "
    "row of pixels: the network, S1 on its features, and the paper's SVM on the pixels themselves. The share below a "
    "map is that of points with the network's label: agreement is no measure of convergence."
)
# three classes beyond the palette repeat its colours, paler
CLASSES = [*COLOURS, "#999999", "#8c564b"]


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for the first seed of each experiment with two features, or two pixels."""
    paths = []
    for found in looks(records):
        panels = list(_panels(found))
        if panels:
            drawn = pd.concat([identified(look, pd.DataFrame([about])) for look, _, about in panels])
            identity = found[0].record.identity
            title = f"{identity['dataset']}, {identity['study']}, seed {identity['seed']}"
            figure = _figure(panels, f"maps: {title}")
            paths += keep(f"maps-{identity['run']}", title, figure, drawn, records, folder, WHAT)
    return paths


def _panels(found: Sequence[Look]) -> Iterator[tuple[Look, str, dict[str, object]]]:
    """Of each map: whose arrays, its name there, and what the figure's data says of it."""
    for look in found:
        if "feature_nn" in look.arrays:
            for name in ("nn", "S1", "S3", "paper"):
                if f"feature_{name}" in look.arrays:
                    yield look, f"feature_{name}", _about(look, "feature", name)
    first = found[0]
    if "input_nn" in first.arrays:
        for name in ("nn", "s1", "svm"):
            if f"input_{name}" in first.arrays:
                yield first, f"input_{name}", _about(first, "input", name)


def _about(look: Look, space: str, name: str) -> dict[str, object]:
    same = look.arrays[f"{space}_{name}"] == look.arrays[f"{space}_nn"]
    return {"space": space, "map": name, "agreement": float(same.mean()), "num_points": same.size}


def _figure(panels: Sequence[tuple[Look, str, dict[str, object]]], title: str) -> Figure:
    rows: dict[tuple[str, str], list[tuple[Look, str, dict[str, object]]]] = {}
    for panel in panels:
        rows.setdefault((panel[0].stage, str(panel[2]["space"])), []).append(panel)
    columns = max(map(len, rows.values()))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2.45 * columns, 2.55 * len(rows) + 0.4), layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for places, ((stage, space), row) in zip(axes, rows.items(), strict=True):
            for place in places[len(row) :]:
                place.set_visible(False)
            for place, (look, name, about) in zip(places, row, strict=False):
                _map(place, look, name, about)
            places[0].set_ylabel(STAGES[stage] if space == "feature" else "pixels")
        figure.suptitle(title, fontsize=10.5)
    return figure


HEADINGS = {
    "feature_nn": "network",
    "feature_S1": "S1 on the features",
    "feature_S3": "S3 on the features",
    "feature_paper": "the paper's SVM\non the features",
    "input_nn": "network",
    "input_s1": "S1 on the features",
    "input_svm": "the paper's SVM\non the pixels",
}


def _map(axis: Axes, look: Look, name: str, about: dict[str, object]) -> None:
    arrays, space = look.arrays, str(about["space"])
    x = arrays["feature_x" if space == "feature" else "input_axis"]
    y = arrays["feature_y" if space == "feature" else "input_axis"]
    labels, points = arrays[f"{space}_labels"], arrays[f"{space}_points"]
    extent = (x[0], x[-1], y[0], y[-1])
    colours, top = ListedColormap(CLASSES), len(CLASSES) - 1
    shown: dict[str, Any] = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "nearest"}
    axis.imshow(arrays[name] % len(CLASSES), cmap=colours, vmin=0, vmax=top, alpha=0.35, **shown)
    differs = arrays[name] != arrays[f"{space}_nn"]
    axis.imshow(np.where(differs, 1.0, np.nan), cmap=ListedColormap(["#444444"]), alpha=0.45, **shown)
    axis.scatter(
        points[:, 0], points[:, 1], c=labels % len(CLASSES), cmap=colours, vmin=0, vmax=top, s=1.6, linewidths=0
    )
    if name == "feature_S1" and "feature_support" in arrays:
        x_ringed, y_ringed = arrays["feature_support"].T
        axis.scatter(x_ringed, y_ringed, s=22, facecolors="none", edgecolors="black", linewidths=0.7)
    axis.set_title(HEADINGS[name], fontsize=8.5)
    axis.grid(visible=False)
    axis.set_xlim(x[0], x[-1])
    axis.set_ylim(y[0], y[-1])
    axis.tick_params(labelsize=6.5)
    if about["map"] != "nn":
        axis.set_xlabel(f"{about['agreement']:.1%} as the network", fontsize=8)
