"""Figures of the pairs looked at closely, as pictures (karimi2020): `strips` and `embedding`."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....figures.drawing import Drawing
from ....figures.style import COLOURS, RC
from ....figures.titles import titled
from .common import CLOSELY, Detailed, Pair, each_detailed

MOST_IMAGES = 4
# heading, method, which picture of it
COLUMNS = (
    ("x", "", "image"),
    ("AE1(x)", "deepdig", "on_target"),
    ("AE2(AE1(x))", "deepdig", "on_source"),
    ("DeepDIG", "deepdig", "point"),
    ("image, AE1", "real_ae1", "point"),
    ("margin\nestimator", "margin_bisect", "point"),
    ("EPBS", "epbs", "point"),
    ("RPBS", "rpbs", "point"),
)
STRIPS_WHAT = (
    "Training images for which most methods succeed, DeepDIG's two autoencoder outputs, and the borderline instance of "
    "each method with p_s, p_t and its l2 distance d to the image (pixel units of [0, 1]). A cross: no borderline "
    "instance."
)


def strips_data(found: Detailed) -> pd.DataFrame:
    """What is printed below the pictures: a row a direction, image and method; nan where there is no segment."""
    rows = []
    for s, t in found.pairs():
        for image in range(min(MOST_IMAGES, len(found.picture("strips {pair} image", (s, t))))):
            for _, method, what in COLUMNS:
                if what == "point" and (s, t) in found.pairs("strips {pair} {method} rows", method=method):
                    row = {"source": s, "target": t, "image": image, "method": method}
                    rows.append({**row, **_instance(found, (s, t), method, image)})
    return pd.DataFrame(rows).assign(**found.about) if rows else pd.DataFrame()


def _instance(found: Detailed, pair: Pair, method: str, image: int) -> dict[str, Any]:
    """What a method made of the n-th image shown, in numbers."""
    place = _place(found, pair, method, image)
    if place is None:
        return {"p_source": np.nan, "p_target": np.nan, "distance": np.nan, "success": False}
    p, distance, success = (
        found.picture(f"strips {{pair}} {{method}} {what}", pair, method=method)[place]
        for what in ("p", "distance", "success")
    )
    return {"p_source": p[0], "p_target": p[1], "distance": distance, "success": bool(success)}


def _place(found: Detailed, pair: Pair, method: str, image: int) -> int | None:
    """Where the arrays of a method have the n-th image shown."""
    places = np.flatnonzero(found.picture("strips {pair} {method} rows", pair, method=method) == image)
    return int(places[0]) if len(places) else None


def _strips_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    shown = drawn[["source", "target", "image"]].drop_duplicates()
    methods = set(drawn["method"])
    columns = [column for column in COLUMNS if not column[1] or column[1] in methods]
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(1.05 * len(columns) + 0.5, 1.32 * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots(len(shown), len(columns), squeeze=False)
        for row, (places, (s, t, image)) in enumerate(zip(axes, shown.itertuples(index=False), strict=True)):
            names = "\n→ ".join(found.names((s, t)))
            places[0].set_ylabel(names, fontsize=8, rotation=0, ha="right", va="center")
            for place, (heading, method, what) in zip(places, columns, strict=True):
                if row == 0:
                    place.set_title(heading, fontsize=8)
                _picture(place, found, (s, t), method, what, image)
        figure.suptitle(titled("strips", found.title), fontsize=10.5)
    return figure


def _picture(axis: Axes, found: Detailed, pair: Pair, method: str, what: str, image: int) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    place = _place(found, pair, method, image) if method else image
    if place is None:
        axis.annotate("×", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=16)
        return
    name = f"strips {{pair}} {{method}} {what}" if method else "strips {pair} image"
    pixels = found.picture(name, pair, method=method)[place].transpose(1, 2, 0)
    axis.imshow(pixels.clip(0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    if what != "point":
        return
    row = _instance(found, pair, method, image)
    text = "{p_source:.2f}, {p_target:.2f}\nd {distance:.2f}".format(**row) if row["success"] else "× third class"
    axis.set_xlabel(text, fontsize=6.5, labelpad=2)


MARKERS = {"train": (".", 0.25), "test": ("+", 0.6), "borderline_s": ("o", 0.8), "borderline_t": ("^", 0.8)}
LINES = {"own": ("-", "the classifier's own plane"), "svm": ((0, (4, 1.5)), "the SVM's plane")}
EMBEDDING_WHAT = (
    "Features in the first two principal components of the training features of both classes: train faint, test, and "
    "borderline instances of both directions, at most 300 of each. Lines: where the classifier's own plane and that of "
    "the linear SVM cut these two dimensions; a point on the own plane in feature space need not lie on its line here."
)


def embedding_data(found: Detailed) -> pd.DataFrame:
    """The points drawn: a row a feature."""
    parts = []
    for s, t in found.pairs("embedding {pair} {split}", split="train"):
        for split in MARKERS:
            points = found.picture("embedding {pair} {split}", (s, t), split=split)
            is_target = found.picture("embedding {pair} {split} is_target", (s, t), split=split)
            about = {"source": s, "target": t, "split": split, "is_target": is_target}
            parts.append(pd.DataFrame({**about, "u": points[:, 0], "v": points[:, 1]}))
    return pd.concat(parts, ignore_index=True).assign(**found.about) if parts else pd.DataFrame()


def _embedding_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    pairs = found.pairs("embedding {pair} {split}", split="train")
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.6 * columns, 5.4), 3.4 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat[len(pairs) :]:
            place.set_visible(False)
        for place, (s, t) in zip(axes.flat, pairs, strict=False):
            _points(place, drawn[(drawn["source"] == s) & (drawn["target"] == t)])
            _lines(place, found, (s, t))
            place.set_title("s: {}, t: {}".format(*found.names((s, t))))
            place.set_xlabel("first component")
            place.set_ylabel("second component")
        figure.suptitle(titled("embedding", found.title), fontsize=10.5)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _points(axis: Axes, points: pd.DataFrame) -> None:
    for split, (marker, alpha) in MARKERS.items():
        for is_target in (False, True):
            part = points[(points["split"] == split) & (points["is_target"] == is_target)]
            if part.empty:
                continue
            label, colour = f"{split}, {'t' if is_target else 's'}", COLOURS[int(is_target)]
            if split.startswith("borderline"):
                label, colour = f"borderline, from {split[-1]}", COLOURS[3 if is_target else 2]
            axis.scatter(
                part["u"], part["v"], s=14, marker=marker, alpha=alpha, color=colour, label=label, linewidths=0.7
            )


def _lines(axis: Axes, found: Detailed, pair: Pair) -> None:
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for kind, (style, label) in LINES.items():
        name = f"embedding {{pair}} {kind}"
        if pair not in found.pairs(name) or not found.picture(name, pair)[:2].any():
            continue
        a, b, c = found.picture(name, pair)
        foot = -c * np.array([a, b]) / (a * a + b * b)
        along = np.array([-b, a]) / np.hypot(a, b) * 10 * np.hypot(right - left, top - bottom)
        ends = np.stack([foot - along, foot + along])
        axis.plot(ends[:, 0], ends[:, 1], color="#000000", linestyle=style, linewidth=1.2, label=label)
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)


FIGURES = (
    Drawing("strips", CLOSELY, ("generation",), each_detailed(strips_data, _strips_figure, STRIPS_WHAT)),
    Drawing("embedding", CLOSELY, ("generation",), each_detailed(embedding_data, _embedding_figure, EMBEDDING_WHAT)),
)
