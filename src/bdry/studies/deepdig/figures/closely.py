"""Figures of the pairs looked at closely (karimi2020): `strips`, `embedding`, `bisection`, `segments`, `distance`."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ....figures.drawing import Drawing
from ....figures.pictures import show_image
from ....figures.style import COLOURS, RC
from ....figures.titles import titled
from ....figures.traces import line
from .common import CLOSELY, METHOD_LABELS, METHODS, Detailed, Pair, arrow, each_detailed

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
    show_image(axis, found.picture(name, pair, method=method)[place])
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


# a quartile over fewer segments is noise
FEWEST_SEGMENTS = 5
BISECTION_WHAT = (
    "Median |p_s − p_t| over the segments that are not finished at the n-th midpoint, where at least 5 are; band: "
    "quartiles, of DeepDIG; dashed: beta, where bisection ends."
)


def bisection_data(found: Detailed) -> pd.DataFrame:
    """The rows of table `bisection` of the directions with pictures, where enough segments are not finished."""
    directions = found.pairs()
    rows = found.table("bisection")
    rows = rows[rows["num_active"] >= FEWEST_SEGMENTS]
    return rows[[pair in directions for pair in zip(rows["source"], rows["target"], strict=True)]]


def _bisection_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    panels = list(drawn.groupby(["source", "target"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.3 * len(panels), 4.6), 3.3), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        for place, ((s, t), part) in zip(axes, panels, strict=True):
            for number, name in enumerate(METHODS):
                curve = part[part["method"] == name]
                if curve.empty:
                    continue
                label = METHOD_LABELS[name]
                style: dict[str, Any] = {"color": COLOURS[number], "label": label, "linewidth": 1.3}
                ends = {"low": curve["gap_q25"], "high": curve["gap_q75"]} if name == "deepdig" else {}
                line(place, label, curve["attempt"], curve["gap_median"], **ends, band=0.15, **style)
            place.axhline(found.beta, color="#555555", linestyle=(0, (4, 2)), linewidth=1)
            place.set_yscale("log")
            place.xaxis.set_major_locator(MaxNLocator(integer=True))
            place.set_title(arrow(*found.names((s, t))))
            place.set_xlabel("midpoint")
        axes[0].set_ylabel("median |p_s − p_t|")
        figure.suptitle(titled("bisection", found.title), fontsize=10.5)
        handles, labels = axes[0].get_legend_handles_labels()
        handles.append(Line2D([], [], color="#555555", linestyle=(0, (4, 2)), linewidth=1))
        figure.legend(handles, [*labels, "where bisection ends"], loc="outside lower center", ncols=4)
    return figure


MOST_SEGMENTS = 4
PROFILE = ("label", "p_source", "p_target", "length")
THIRD = "a third class"
CLASS_COLOURS = {"source class": COLOURS[0], "target class": COLOURS[1], THIRD: "#000000"}
SEGMENTS_WHAT = (
    "Along single segments between random borderline instances of DeepDIG: the predicted class (ribbon) and p_s, p_t. "
    "Both ends lie on the boundary, hence what class they have is chance."
)


def segments_data(found: Detailed) -> pd.DataFrame:
    """The points drawn: a row a direction, segment and place `at` along it, from 0 to 1."""
    parts = []
    for s, t in found.pairs("profiles {pair} label"):
        profile = [found.picture(f"profiles {{pair}} {what}", (s, t))[:MOST_SEGMENTS] for what in PROFILE]
        for number, (label, p_source, p_target, length) in enumerate(zip(*profile, strict=True)):
            columns = {"at": np.linspace(0, 1, len(label)), "label": label, "p_source": p_source, "p_target": p_target}
            parts.append(pd.DataFrame(columns).assign(source=s, target=t, segment=number, length=length))
    return pd.concat(parts, ignore_index=True).assign(**found.about) if parts else pd.DataFrame()


def _segments_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    directions = list(drawn.groupby(["source", "target"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.6 * len(directions), 4.6), 1.25 * MOST_SEGMENTS + 1.1), layout="constrained")
        axes = figure.subplots(MOST_SEGMENTS, len(directions), squeeze=False, sharex=True, sharey=True)
        for column, ((s, t), part) in enumerate(directions):
            axes[0, column].set_title(arrow(*found.names((s, t))))
            for row in range(MOST_SEGMENTS):
                segment = part[part["segment"] == row]
                if segment.empty:
                    axes[row, column].set_visible(False)
                    continue
                _segment(axes[row, column], segment, s, t)
        axes[0, 0].set_ylabel("probability")
        for place in axes[-1]:
            place.set_xlabel("place along the segment")
        figure.suptitle(titled("segments", found.title), fontsize=10.5)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        ribbons = [name for name in CLASS_COLOURS if name != THIRD or _has_third(drawn)]
        handles += [matplotlib.patches.Patch(color=CLASS_COLOURS[name]) for name in ribbons]
        figure.legend(handles, [*labels, *ribbons], loc="outside lower center", ncols=5)
    return figure


def _has_third(drawn: pd.DataFrame) -> bool:
    return bool(((drawn["label"] != drawn["source"]) & (drawn["label"] != drawn["target"])).any())


def _segment(axis: Axes, segment: pd.DataFrame, s: int, t: int) -> None:
    axis.plot(segment["at"], segment["p_source"], color=COLOURS[0], linewidth=1.2, label="p_s")
    axis.plot(segment["at"], segment["p_target"], color=COLOURS[1], linewidth=1.2, label="p_t")
    label = segment["label"].to_numpy()
    kinds = np.select([label == s, label == t], [0, 1], 2)
    colours = [matplotlib.colors.to_rgb(colour) for colour in CLASS_COLOURS.values()]
    ribbon = np.array(colours)[kinds][None]
    axis.imshow(ribbon, extent=(0, 1, 1.06, 1.22), aspect="auto", interpolation="nearest")
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.03, 1.22)
    axis.set_yticks([0, 0.5, 1])
    axis.set_axisbelow(True)


NUM_BINS = 30
DISTANCE_WHAT = (
    "Distribution of the l2 distance between borderline instance and source image, pixel units of [0, 1], by method; "
    "lines: medians; heights are of each method alone. Each method over the n images for which it succeeded: "
    "medians on the images that all have in common are in the table `generation`."
)


def distance_data(found: Detailed) -> pd.DataFrame:
    """Exactly what `distance` draws: a row a bin of a direction and method; share is of the method's successes."""
    rows = []
    for s, t in found.pairs():
        found_here = {
            method: found.picture("distances {pair} {method}", (s, t), method=method)
            for method in METHODS
            if (s, t) in found.pairs("distances {pair} {method}", method=method)
        }
        distances = {method: values for method, values in found_here.items() if len(values)}
        if not distances:
            continue
        edges = np.linspace(0, max(float(values.max()) for values in distances.values()) * 1.0001, NUM_BINS + 1)
        for method, distance in distances.items():
            counts, _ = np.histogram(distance, edges)
            about = {"source": s, "target": t, "method": method, "num_images": len(distance)}
            for low, high, count in zip(edges, edges[1:], counts, strict=False):
                share = count / len(distance)
                median = float(np.median(distance))
                rows.append({**about, "low": low, "high": high, "share": share, "median": median})
    return pd.DataFrame(rows).assign(**found.about) if rows else pd.DataFrame()


def _distance_figure(drawn: pd.DataFrame, found: Detailed) -> Figure:
    """A row a method, hence no two histograms on top of each other; a column a direction."""
    panels = list(drawn.groupby(["source", "target"]))
    methods = [name for name in METHODS if (drawn["method"] == name).any()]
    with matplotlib.rc_context(RC):
        size = (max(3.3 * len(panels), 4.0) + 1.0, 0.5 * len(methods) + 1.1)
        figure = Figure(figsize=size, layout="constrained")
        rows = figure.subplots(len(methods), len(panels), squeeze=False, sharex=True)
        for column, ((s, t), part) in enumerate(panels):
            for row, name in enumerate(methods):
                place = rows[row][column]
                _histogram(place, part[part["method"] == name], COLOURS[METHODS.index(name)])
                if column == 0:
                    place.set_ylabel(METHOD_LABELS[name], rotation=0, ha="right", va="center", fontsize=8)
            rows[0][column].set_title(arrow(*found.names((s, t))))
            rows[-1][column].set_xlabel("$\\ell_2$ distance to the source image")
        figure.suptitle(titled("distance", found.title), fontsize=10.5)
    return figure


def _histogram(place: Axes, bins: pd.DataFrame, colour: str) -> None:
    place.set_yticks([])
    place.spines["left"].set_visible(False)
    if bins.empty:
        return
    place.stairs(bins["share"], [*bins["low"], bins["high"].iloc[-1]], color=colour, fill=True, alpha=0.75)
    place.axvline(bins["median"].iloc[0], color="#333333", linewidth=1.2)
    # room for the number above the bars
    place.set_ylim(0, 1.45 * float(bins["share"].max()))
    place.set_axisbelow(True)
    place.text(1, 1.0, f"n = {bins['num_images'].iloc[0]}", transform=place.transAxes, ha="right", va="top", fontsize=7)


FIGURES = (
    Drawing("strips", CLOSELY, ("generation",), each_detailed(strips_data, _strips_figure, STRIPS_WHAT)),
    Drawing("embedding", CLOSELY, ("generation",), each_detailed(embedding_data, _embedding_figure, EMBEDDING_WHAT)),
    Drawing(
        "bisection",
        CLOSELY,
        ("generation", "bisection"),
        each_detailed(bisection_data, _bisection_figure, BISECTION_WHAT),
    ),
    Drawing("segments", CLOSELY, ("generation",), each_detailed(segments_data, _segments_figure, SEGMENTS_WHAT)),
    Drawing("distance", CLOSELY, ("generation",), each_detailed(distance_data, _distance_figure, DISTANCE_WHAT)),
)
