"""Figures of all pairs of classes (karimi2020): `success`, `idc`, `alpha` and `pairs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ....figures.classes import name_axes
from ....figures.curves import log_labels, log_ticks
from ....figures.drawing import Drawing, each_network
from ....figures.style import COLOURS, RC
from ....figures.traces import line
from ....runs import RunRecord
from .common import CLOSELY, MEASURED, METHOD_LABELS, METHODS, PAIR, arrow_of, last_rows, named

MOST_PAIRS = 6
OUTCOMES = {"success": COLOURS[0], "third class": COLOURS[1], "stalled": "#999999"}
OUTCOME_SHARES = ("success", "third", "stalled")
SUCCESS_WHAT = (
    "Share of segments whose bisection ended in a borderline instance, fell into a third class or stalled, mean over "
    "seeds, by method and direction. Right: coverage, the share of correctly predicted images that have a segment."
)


def success_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `success` draws: a row a panel, method; shares are means over seeds (and over pairs in `mean`)."""
    rows = last_rows(records, "generation", "alpha")
    if rows.empty:
        return rows
    total = rows["num_pairs"].where(rows["num_pairs"] > 0)
    rows = rows.assign(
        success=rows["num_success"] / total, third=rows["num_third"] / total, stalled=rows["num_stalled"] / total
    )
    parts = []
    for _, part in named(rows, records).groupby(["dataset", "arch", "experiment"]):
        # the directions that most seeds have come first
        counts = part.groupby(PAIR)["seed"].nunique().sort_values(ascending=False, kind="stable")
        shown = sorted(counts.index[:MOST_PAIRS])
        for s, t in shown:
            chosen = part[(part["source"] == s) & (part["target"] == t)]
            parts.append(_means(chosen).assign(panel=arrow_of(chosen)))
        if len(counts) > MOST_PAIRS:
            parts.append(_means(part).assign(panel=f"mean of {len(counts)} directions"))
    return pd.concat(parts, ignore_index=True)


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["dataset", "arch", "experiment", "method"]
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


def _success_figure(drawn: pd.DataFrame, title: str) -> Figure:
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
        figure.suptitle(title, fontsize=10.5)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        # a legend names no bar that is not there
        there = [number for number, column in enumerate(OUTCOME_SHARES) if (drawn[column] > 0).any()]
        texts = [labels[number] for number in there]
        figure.legend([handles[number] for number in there], texts, loc="outside lower center", ncols=3)
        # the lowest panel of each column
        for place in axes.flat[max(len(panels) - columns, 0) : len(panels)]:
            place.tick_params(labelbottom=True)
            place.set_xlabel("share of segments;\nright of a bar: coverage")
    return figure


def _bars(axis: Axes, rows: pd.DataFrame) -> None:
    left = pd.Series(0.0, index=rows.index)
    labels = [METHOD_LABELS[name] for name in rows.index]
    for (name, colour), column in zip(OUTCOMES.items(), OUTCOME_SHARES, strict=True):
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


# flips of a linear classifier: which side an end lies on is chance
PLANE_FLIPS = 0.5
DASHED: Any = (0, (4, 1.5))
IDC_WHAT = (
    "Left: IDC as coded, flips / T, against T. Middle: flips a segment (solid) and hysteresis flips (dashed) on the "
    "same segments; dotted: what a plane has, 0.5 and 0. Means over seeds; bars: standard error clustered by start "
    "instance, of the first seed. Right: where the flips come from, by method, mean over directions and seeds."
)


def idc_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `idc` draws.

    Panel `grid`: a row a direction and T, of deepdig. Panel `methods`: a row a method.
    """
    rows = last_rows(records, "idc", "alpha")
    rows = rows[rows["flips"].notna()]
    if rows.empty:
        return rows
    keys = ["dataset", "arch", "experiment"]
    ours = rows[rows["method"] == "deepdig"]
    swept = ours[ours.groupby([*keys, *PAIR])["grid"].transform("nunique") > 1].sort_values("seed", kind="stable")
    values = ["idc", "flips", "first_step", "interior", "hysteresis"]
    curves = swept.groupby([*keys, *PAIR, "grid"])
    over_grids = curves[values].mean().join(curves[["idc_error", "flips_error", "hysteresis_error"]].first())
    over_grids = over_grids.join(curves["seed"].nunique().rename("num_seeds")).reset_index().assign(panel="grid")
    usual = rows[rows["is_main_grid"].astype(bool)]
    by_method = usual.groupby([*keys, "method", "grid"])[values].mean()
    by_method = by_method.join(usual.groupby([*keys, "method", "grid"])["seed"].nunique().rename("num_seeds"))
    parts = [over_grids, by_method.reset_index().assign(panel="methods")]
    return named(pd.concat(parts, ignore_index=True), records)


def _idc_figure(drawn: pd.DataFrame, title: str) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(10.2, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _against_grid(left, middle, drawn[drawn["panel"] == "grid"])
        _by_method(right, drawn[drawn["panel"] == "methods"])
        figure.suptitle(title, fontsize=10.5)
        # directions have names of classes, hence two columns
        corners: list[tuple[Axes, Any, int]] = [(left, "outside lower left", 2), (right, "outside lower right", 3)]
        for place, where, columns in corners:
            handles, labels = place.get_legend_handles_labels()
            if handles:
                figure.legend(handles, labels, loc=where, ncols=columns)
        style: dict[str, Any] = {"color": "#555555"}
        handles = [Line2D([], [], linestyle=kind, **style) for kind in ("-", DASHED, ":")]
        texts = ["flips", "hysteresis flips", "flips that a plane has"]
        figure.legend(handles, texts, loc="outside lower center", ncols=3)
    return figure


def _against_grid(left: Axes, middle: Axes, rows: pd.DataFrame) -> None:
    for number, (_, curve) in enumerate(rows.groupby(PAIR)):
        style: Any = {"color": COLOURS[number % len(COLOURS)], "marker": "o", "markersize": 3, "capsize": 2}
        left.errorbar(curve["grid"], curve["idc"], curve["idc_error"], label=arrow_of(curve), **style)
        middle.errorbar(curve["grid"], curve["flips"], curve["flips_error"], **style)
        middle.errorbar(curve["grid"], curve["hysteresis"], curve["hysteresis_error"], linestyle=DASHED, **style)
    middle.axhline(PLANE_FLIPS, color="#555555", linestyle=":", linewidth=1)
    for place, label in ((left, "IDC as coded (flips / T)"), (middle, "label flips a segment")):
        log_ticks(place, rows["grid"])
        place.set_xlabel("T, points a segment")
        place.set_ylabel(label)
    if len(rows):
        left.set_yscale("log")
        log_labels(left.yaxis)
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


ALPHA_PANELS = {
    "success_rate": "success rate",
    "distance_median": "median $\\ell_2$ distance\nto the source",
    "spread": "spread of the instances",
    "flips": "flips a segment",
    "hysteresis": "hysteresis flips a segment",
}
ALPHA_WHAT = (
    "DeepDIG with other weights of the class term, the same in both stages: mean over seeds, bands: smallest to "
    "largest seed. Distance and spread (mean pairwise l2 distance) in pixel units of [0, 1]. Flips are to be read "
    "beside the spread: points that bunch up flip less on any boundary."
)


def alpha_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `alpha` draws: a row a direction and alpha; <value>_low and _high are the ends of the band."""
    generation, idc = last_rows(records, "generation"), last_rows(records, "idc", "grid")
    rows = generation[generation["method"] == "deepdig"]
    if rows.empty:
        return rows
    unit = ["dataset", "arch", "experiment", "seed", *PAIR, "alpha"]
    idc = idc[idc["method"] == "deepdig"]
    rows = rows.merge(idc[[*unit, "flips", "hysteresis"]], on=unit, how="left")
    rows = rows[rows.groupby(["experiment", *PAIR])["alpha"].transform("nunique") > 1]
    curve = rows.groupby(["dataset", "arch", "experiment", *PAIR, "alpha"])
    bands = {
        f"{name}{ending}": (name, how)
        for name in ALPHA_PANELS
        for ending, how in (("", "mean"), ("_low", "min"), ("_high", "max"))
    }
    drawn = curve.agg(**bands, num_seeds=("seed", "nunique")).reset_index()
    return named(drawn, records)


def _alpha_figure(drawn: pd.DataFrame, title: str) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2.3 * len(ALPHA_PANELS), 2.9), layout="constrained")
        for place, (name, label) in zip(figure.subplots(1, len(ALPHA_PANELS)), ALPHA_PANELS.items(), strict=True):
            for number, (_, curve) in enumerate(drawn.groupby(PAIR)):
                colour = COLOURS[number % len(COLOURS)]
                ends = {end: curve[f"{name}_{end}"] for end in ("low", "high")}
                style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 3, "label": arrow_of(curve)}
                line(place, arrow_of(curve), curve["alpha"], curve[name], **ends, **style)
            if (drawn["alpha"] > 0).all():
                place.set_xscale("log")
            alphas = sorted(drawn["alpha"].unique())
            place.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
            place.set_xticks([], minor=True)
            place.set_xlabel("alpha")
            place.set_ylabel(label)
            place.set_ylim(bottom=0, top=1.03 if name == "success_rate" else None)
        figure.suptitle(title, fontsize=10.5)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


# value -> how a panel calls it
PAIRS_PANELS = {
    "success_rate": "success rate",
    "coverage": "coverage: segments over\nrightly predicted images",
    "gain": "success rate, DeepDIG − RPBS",
    "distance_median": "median $\\ell_2$ distance to the source\n(pixel units of [0, 1])",
    "flips": "label flips a segment, T = {grid}",
    "hysteresis": "hysteresis flips a segment",
    "err": "error of the SVM on borderline\ninstances (EDC2), both directions",
}
SHARES = ("success_rate", "coverage", "err")
PAIRS_WHAT = (
    "DeepDIG on ordered pairs of classes, mean over seeds; rows: source class, columns: target class. White: not "
    "measured, or no borderline instance. Flips are to be read against 0.5, what a plane has."
)


def pairs_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `pairs` draws: a row an ordered pair, means over seeds."""
    keys = ["dataset", "arch", "experiment", *PAIR]
    generation = last_rows(records, "generation", "alpha")
    if generation.empty:
        return generation
    ours, random = (generation[generation["method"] == name] for name in ("deepdig", "rpbs"))
    drawn = ours.groupby(keys)[["success_rate", "coverage", "distance_median"]].mean()
    drawn["gain"] = drawn["success_rate"] - random.groupby(keys)["success_rate"].mean()
    idc = last_rows(records, "idc", "alpha", "grid")
    idc = idc[idc["method"] == "deepdig"]
    drawn = drawn.join(idc.groupby(keys)[["flips", "hysteresis"]].mean())
    edc = last_rows(records, "edc")
    edc = edc[(edc["plane"] == "svm") & (edc["split"] == "borderline")]
    swapped = edc.rename(columns={"source": "target", "target": "source"})
    both = pd.concat([edc, swapped], ignore_index=True)
    drawn = drawn.join(both.groupby(keys)["err"].mean())
    drawn["num_seeds"] = ours.groupby(keys)["seed"].nunique()
    drawn = drawn.reset_index()
    return named(drawn, records).assign(grid=int(idc["grid"].mode().iloc[-1]) if len(idc) else 0)


def _pairs_figure(drawn: pd.DataFrame, title: str) -> Figure:
    # only the classes that pairs are of
    classes = np.unique(drawn[PAIR].to_numpy())
    size, names = len(classes), _names(drawn, classes)
    shown = [name for name in PAIRS_PANELS if drawn[name].notna().any()]
    columns = min(3, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(3.4 * columns, 3.1 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat[len(shown) :]:
            place.set_visible(False)
        for place, name in zip(axes.flat, shown, strict=False):
            values = np.full((size, size), np.nan)
            places = [np.searchsorted(classes, drawn[end]) for end in PAIR]
            values[places[0], places[1]] = drawn[name]
            colours, low, high = ("viridis", None, None)
            if name == "gain":
                high = float(np.nanmax(np.abs(values))) or 1.0
                colours, low = "RdBu", -high
            elif name in SHARES:
                low, high = 0.0, 1.0
            image = place.imshow(values, cmap=colours, vmin=low, vmax=high)
            figure.colorbar(image, ax=place, shrink=0.85)
            _numbers(place, values)
            place.set_title(PAIRS_PANELS[name].format(grid=drawn["grid"].iloc[0]))
            name_axes(place, names)
            place.set_xlabel("target class")
            place.set_ylabel("source class")
        figure.suptitle(title, fontsize=10.5)
    return figure


def _names(drawn: pd.DataFrame, classes: np.ndarray) -> list[str]:
    """The names of the classes, each of which is a source or a target."""
    ends = [drawn[[end, f"{end}_name"]].set_axis(["label", "name"], axis=1) for end in PAIR]
    return list(pd.concat(ends).drop_duplicates("label").set_index("label")["name"].reindex(classes))


def _numbers(axis: Axes, values: np.ndarray) -> None:
    """Each cell's value in it."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            outline = [withStroke(linewidth=1.2, foreground="white")]
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=5, path_effects=outline)


FIGURES = (
    Drawing("success", MEASURED, ("generation",), each_network(success_data, _success_figure, SUCCESS_WHAT)),
    Drawing("idc", MEASURED, ("idc",), each_network(idc_data, _idc_figure, IDC_WHAT)),
    Drawing(
        "alpha",
        f"{CLOSELY} and further_alphas",
        ("generation", "idc"),
        each_network(alpha_data, _alpha_figure, ALPHA_WHAT),
    ),
    Drawing("pairs", MEASURED, ("generation", "idc", "edc"), each_network(pairs_data, _pairs_figure, PAIRS_WHAT)),
)
