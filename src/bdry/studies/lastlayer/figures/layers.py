"""Figures of single last layers (li2018), from arrays: `maps`, `margin_histograms` and `pair_angles`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ....figures.captions import keep
from ....figures.classes import class_names, name_axes
from ....figures.curves import log_labels
from ....figures.drawing import Draw, Drawing, experiment_stem
from ....figures.style import COLOURS, RC
from ....figures.titles import titled
from ....runs import RunRecord
from .common import STAGES, SVM, Layer, layers

MAPS_WHAT = (
    "Regions of the network and of SVMs, training images as points, support vectors of S1 ringed; grey: where the two "
    "disagree. Rows of features: the last layer as the whole network left it, then trained on, features frozen. The "
    "row of pixels: the network, S1 on its features, and the paper's SVM on the pixels themselves. The share below a "
    "map is that of points with the network's label: agreement is no measure of convergence."
)
# three classes beyond the palette repeat its colours, paler
CLASSES = [*COLOURS, "#999999", "#8c564b"]


def _draw_maps(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """A figure for the first seed of each experiment with two features, or two pixels."""
    paths = []
    for found in layers(records):
        panels = list(_panels(found))
        if panels:
            drawn = pd.concat([layer.identified(pd.DataFrame([about])) for layer, _, about in panels])
            figure = _maps_figure(panels, titled(name, found[0].title))
            paths += _keep(name, found[0], figure, drawn, records, folder, MAPS_WHAT)
    return paths


def _panels(found: Sequence[Layer]) -> Iterator[tuple[Layer, str, dict[str, object]]]:
    """Of each map: whose arrays, its name there, and what the figure's data says of it."""
    for layer in found:
        if "feature_nn" in layer.arrays:
            for name in ("nn", "S1", "S3", "paper"):
                if f"feature_{name}" in layer.arrays:
                    yield layer, f"feature_{name}", _about(layer, "feature", name)
    first = found[0]
    if "input_nn" in first.arrays:
        for name in ("nn", "s1", "svm"):
            if f"input_{name}" in first.arrays:
                yield first, f"input_{name}", _about(first, "input", name)


def _about(layer: Layer, space: str, name: str) -> dict[str, object]:
    same = layer.arrays[f"{space}_{name}"] == layer.arrays[f"{space}_nn"]
    return {"space": space, "map": name, "agreement": float(same.mean()), "num_points": same.size}


def _maps_figure(panels: Sequence[tuple[Layer, str, dict[str, object]]], title: str) -> Figure:
    rows: dict[tuple[str, str], list[tuple[Layer, str, dict[str, object]]]] = {}
    for panel in panels:
        rows.setdefault((panel[0].stage, str(panel[2]["space"])), []).append(panel)
    columns = max(map(len, rows.values()))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2.45 * columns, 2.55 * len(rows) + 0.4), layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for places, ((stage, space), row) in zip(axes, rows.items(), strict=True):
            for place in places[len(row) :]:
                place.set_visible(False)
            for place, (layer, name, about) in zip(places, row, strict=False):
                _map(place, layer, name, about)
            places[0].set_ylabel(STAGES[stage] if space == "feature" else "pixels")
        figure.suptitle(title, fontsize=10.5)
        handles, texts = _map_legend(panels)
        figure.legend(handles, texts, loc="outside lower center", ncols=max(2, 2 * columns - 2), fontsize=7.5)
    return figure


def _map_legend(panels: Sequence[tuple[Layer, str, dict[str, object]]]) -> tuple[list[Artist], list[str]]:
    """A colour for each class that a region or a point has, and what grey and rings mean."""
    shown = [layer.arrays[key].ravel() for layer, name, about in panels for key in (name, f"{about['space']}_labels")]
    labels = [int(label) for label in np.unique(np.concatenate(shown))]
    names = class_names(panels[0][0].source.record, labels[-1] + 1)
    handles: list[Artist] = [
        Line2D([], [], color=CLASSES[label % len(CLASSES)], marker="o", markersize=4, linestyle="") for label in labels
    ]
    texts = [f"class {name}" if name.isdigit() else name for name in (names[label] for label in labels)]
    if any(about["map"] != "nn" for _, _, about in panels):
        handles.append(Patch(facecolor="#444444", alpha=0.6))
        texts.append("another class than the network's")
    if any(name == "feature_S1" and "feature_support" in layer.arrays for layer, name, _ in panels):
        ring: dict[str, Any] = {"markerfacecolor": "none", "markersize": 4.5, "linestyle": ""}
        handles.append(Line2D([], [], color="black", marker="o", **ring))
        texts.append("support vector of S1")
    return handles, texts


HEADINGS = {
    "feature_nn": "network",
    "feature_S1": "S1 on the features",
    "feature_S3": "S3 on the features",
    "feature_paper": "the paper's SVM\non the features",
    "input_nn": "network",
    "input_s1": "S1 on the features",
    "input_svm": "the paper's SVM\non the pixels",
}


def _map(axis: Axes, layer: Layer, name: str, about: dict[str, object]) -> None:
    arrays, space = layer.arrays, str(about["space"])
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


BINS = 40
HISTOGRAMS = (
    "Smallest pair margin of each training image over the norm of [W b], of the network's last layer and of S1 on the "
    "same features, at the last moment measured; the dashed line is S1's smallest, the largest that any layer has."
)
ANGLES = (
    "Angle between w_i - w_j of the last layer and of S1 on the same features, degrees, for each pair of classes, at "
    "the last moment measured."
)


def _each_layer(
    needed: str, data: Callable[[Layer], pd.DataFrame], picture: Callable[[pd.DataFrame, str], Figure], what: str
) -> Draw:
    """A figure for the first seed of each experiment whose layers have the array `needed`."""

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        paths: list[Path] = []
        for found in layers(records):
            parts = [layer.identified(data(layer)) for layer in found if needed in layer.arrays]
            drawn = pd.concat(parts) if parts else pd.DataFrame()
            if len(drawn):
                paths += _keep(
                    name, found[0], picture(drawn, titled(name, found[0].title)), drawn, records, folder, what
                )
        return paths

    return draw


def _keep(
    name: str, layer: Layer, figure: Figure, drawn: pd.DataFrame, records: Sequence[RunRecord], folder: Path, what: str
) -> list[Path]:
    stem = experiment_stem(name, layer.source.record.identity["experiment"], records)
    return keep(name, layer.title, stem, figure, drawn, records, folder, what)


def _bins(layer: Layer) -> pd.DataFrame:
    """A row a bin: low and high edge, share of images in it, and the smallest margin of all."""
    both = {name: layer.arrays[f"margins_{name}"] for name in ("nn", "s1")}
    together = np.concatenate(list(both.values()))
    edges = np.linspace(together.min(), together.max(), BINS + 1)
    parts = []
    for name, values in both.items():
        counts, _ = np.histogram(values, edges)
        about = {"layer": name, "low": edges[:-1], "high": edges[1:], "share": counts / len(values)}
        parts.append(pd.DataFrame(about).assign(smallest=values.min(), num_images=len(values)))
    return pd.concat(parts, ignore_index=True)


def _histograms(drawn: pd.DataFrame, title: str) -> Figure:
    stages = [stage for stage in STAGES if (drawn["stage"] == stage).any()]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.7 * max(len(stages), 1.3), 3.3), layout="constrained")
        axes = figure.subplots(1, len(stages), squeeze=False, sharex=True, sharey=True)[0]
        for axis, stage in zip(axes, stages, strict=True):
            part = drawn[drawn["stage"] == stage]
            for colour, (name, label) in zip(COLOURS, (("nn", "last layer"), ("s1", "S1")), strict=False):
                bins = part[part["layer"] == name]
                edges = [*bins["low"], bins["high"].iloc[-1]]
                axis.stairs(bins["share"], edges, fill=True, color=colour, alpha=0.25)
                axis.stairs(bins["share"], edges, color=colour, linewidth=1.3, label=label)
            smallest: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 0.8}
            axis.axvline(bins["smallest"].iloc[0], label="S1's smallest", **smallest)
            axis.set_title(STAGES[stage])
            axis.set_axisbelow(True)
            axis.set_xlabel("margin / norm")
        axes[0].set_ylabel("share of training images")
        figure.suptitle(title, fontsize=10.5)
        handles, texts = axes[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=3)
    return figure


def _pairs(layer: Layer) -> pd.DataFrame:
    angles = layer.arrays["pair_angles"]
    if len(angles) < 3:
        return pd.DataFrame()
    i, j = np.indices(angles.shape).reshape(2, -1)
    names = class_names(layer.source.record, len(angles))
    return pd.DataFrame({"class_i": i, "class_j": j, "name_i": np.take(names, i), "angle_deg": angles.ravel()})


def _one_scale(angles: pd.Series) -> Normalize:
    """The colours of all panels: from 0, or logarithmic where the angles of one are many times another's."""
    positive = angles[angles > 0]
    if len(positive) and positive.max() > 10 * positive.min():
        return LogNorm(float(positive.min()), float(positive.max()))
    return Normalize(0, float(angles.max()))


def _heat(drawn: pd.DataFrame, title: str) -> Figure:
    stages = [stage for stage in STAGES if (drawn["stage"] == stage).any()]
    names = drawn.drop_duplicates("class_i").sort_values("class_i")["name_i"].tolist()
    scale = _one_scale(drawn.loc[drawn["class_i"] != drawn["class_j"], "angle_deg"])
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.6 * len(stages) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(stages), squeeze=False)[0]
        for axis, stage in zip(axes, stages, strict=True):
            part = drawn[drawn["stage"] == stage]
            table = part.pivot(index="class_i", columns="class_j", values="angle_deg").to_numpy()
            # an angle of 0 has the colour of the smallest that a logarithmic scale has
            image = axis.imshow(table.clip(min=scale.vmin), cmap="viridis", norm=scale)
            small = len(table) > 6
            for (row, column), value in np.ndenumerate(table):
                if row != column and np.isfinite(value):
                    dark = scale(max(value, scale.vmin)) < 0.6
                    digits = ".0f" if np.nanmax(table) >= 10 else ".0e" if 0 < value < 0.05 else ".1f"
                    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 5.5 if small else 8}
                    axis.text(column, row, f"{value:{digits}}", color="white" if dark else "black", **style)
            axis.grid(visible=False)
            name_axes(axis, names)
            axis.set_title(STAGES[stage])
            axis.set_xlabel("class")
        bar = figure.colorbar(image, ax=list(axes), shrink=0.8, label="degrees")
        if isinstance(scale, LogNorm):
            log_labels(bar.ax.yaxis)
        axes[0].set_ylabel("class")
        figure.suptitle(title, fontsize=10.5)
    return figure


FIGURES = (
    Drawing("maps", f"{SVM}, with arch.feature_dim=2 or a two-dimensional toy", ("svm_convergence",), _draw_maps),
    Drawing(
        "margin_histograms",
        f"{SVM}, ending with separable features",
        ("svm_convergence",),
        _each_layer("margins_s1", _bins, _histograms, HISTOGRAMS),
    ),
    Drawing(
        "pair_angles",
        f"{SVM}, of three classes or more, ending separable",
        ("svm_convergence",),
        _each_layer("pair_angles", _pairs, _heat, ANGLES),
    ),
)
