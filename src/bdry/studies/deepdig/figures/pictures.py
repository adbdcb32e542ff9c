"""Figures of the pairs looked at closely, as pictures (karimi2020): `strips` and `embedding`."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....figures.drawing import Drawing
from ....figures.style import COLOURS, RC
from .common import CLOSELY, Detailed, arrow, detailed_pairs, each_detailed

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
    "instance. One seed."
)


def strips_data(found: Detailed) -> pd.DataFrame:
    """What is printed below the pictures: a row a direction, image and method; nan where there is no segment."""
    arrays, rows = found.pictures, []
    for s, t in detailed_pairs(found):
        for image in range(min(MOST_IMAGES, len(arrays[f"strips {s}-{t} image"]))):
            for _, method, what in COLUMNS:
                if what != "point" or f"strips {s}-{t} {method} rows" not in arrays:
                    continue
                place = _place(arrays, f"{s}-{t}", method, image)
                row = {"p_source": np.nan, "p_target": np.nan, "distance": np.nan, "success": False}
                if place is not None:
                    p, d, ok = (
                        arrays[f"strips {s}-{t} {method} {name}"][place] for name in ("p", "distance", "success")
                    )
                    row = {"p_source": p[0], "p_target": p[1], "distance": d, "success": bool(ok)}
                rows.append({"source": s, "target": t, "image": image, "method": method, **row})
    return pd.DataFrame(rows).assign(**found.about) if rows else pd.DataFrame()


def _place(found: dict[str, np.ndarray], name: str, method: str, image: int) -> int | None:
    """Where the arrays of a method have the n-th image shown."""
    places = np.flatnonzero(found[f"strips {name} {method} rows"] == image)
    return int(places[0]) if len(places) else None


def _strips_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    arrays = found.pictures
    shown = drawn[["source", "target", "image"]].drop_duplicates()
    methods = set(drawn["method"])
    columns = [column for column in COLUMNS if not column[1] or column[1] in methods]
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(1.05 * len(columns) + 0.5, 1.32 * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots(len(shown), len(columns), squeeze=False)
        for row, (places, (s, t, image)) in enumerate(zip(axes, shown.itertuples(index=False), strict=True)):
            places[0].set_ylabel(arrow(s, t))
            for place, (heading, method, what) in zip(places, columns, strict=True):
                if row == 0:
                    place.set_title(heading, fontsize=8)
                _picture(place, arrays, f"{s}-{t}", method, what, image)
        figure.suptitle(f"strips: {found.title}", fontsize=10.5)
    return figure


def _picture(axis: Axes, found: dict[str, np.ndarray], name: str, method: str, what: str, image: int) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    place = image if not method else _place(found, name, method, image)
    if place is None:
        axis.annotate("×", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=16)
        return
    key = f"strips {name} {method} {what}" if method else f"strips {name} {what}"
    pixels = found[key][place].transpose(1, 2, 0)
    axis.imshow(pixels.clip(0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    if what != "point":
        return
    p, distance = found[f"strips {name} {method} p"][place], found[f"strips {name} {method} distance"][place]
    success = bool(found[f"strips {name} {method} success"][place])
    text = f"{p[0]:.2f}, {p[1]:.2f}\nd {distance:.2f}" if success else "× third class"
    axis.set_xlabel(text, fontsize=6.5, labelpad=2)


MARKERS = {"train": (".", 0.25), "test": ("+", 0.6), "borderline_s": ("o", 0.8), "borderline_t": ("^", 0.8)}
LINES = {"own": ("-", "the classifier's own plane"), "svm": ((0, (4, 1.5)), "the SVM's plane")}
EMBEDDING_WHAT = (
    "Features in the first two principal components of the training features of both classes: train faint, test, and "
    "borderline instances of both directions, at most 300 of each. Lines: where the classifier's own plane and that of "
    "the linear SVM cut these two dimensions; a point on the own plane in feature space need not lie on its line here. "
    "One seed."
)


def embedding_data(found: Detailed) -> pd.DataFrame:
    """The points drawn: a row a feature."""
    arrays, parts = found.pictures, []
    for name in _names(arrays):
        s, t = name.split("-")
        for split in MARKERS:
            points, is_target = (arrays[f"embedding {name} {split}{end}"] for end in ("", " is_target"))
            parts.append(
                pd.DataFrame(
                    {"source": int(s), "target": int(t), "split": split, "is_target": is_target}
                    | {"u": points[:, 0], "v": points[:, 1]}
                )
            )
    return pd.concat(parts, ignore_index=True).assign(**found.about) if parts else pd.DataFrame()


def _names(found: dict[str, np.ndarray]) -> list[str]:
    return [key.split()[1] for key in found if key.startswith("embedding ") and key.endswith(" train")]


def _embedding_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    arrays = found.pictures
    names = _names(arrays)
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.6 * columns, 5.4), 3.4 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat[len(names) :]:
            place.set_visible(False)
        for place, name in zip(axes.flat, names, strict=False):
            s, t = name.split("-")
            _points(place, drawn[(drawn["source"] == int(s)) & (drawn["target"] == int(t))])
            _lines(place, arrays, name)
            place.set_title(f"classes {s} and {t}")
            place.set_xlabel("first component")
            place.set_ylabel("second component")
        figure.suptitle(f"embedding: {found.title}", fontsize=10.5)
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


def _lines(axis: Axes, found: dict[str, np.ndarray], name: str) -> None:
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for kind, (style, label) in LINES.items():
        key = f"embedding {name} {kind}"
        if key not in found or not found[key][:2].any():
            continue
        a, b, c = found[key]
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
