"""Figures of the boundary's curvature (fawzi2017): `profile`, `sections`, `families`, `sensitivity`; over training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...figures.curves import LEVEL, Legend, Panel, add_legend, grid, log_ticks, over_epochs, plot, share_panel
from ...figures.drawing import Drawing, each
from ...figures.networks import (
    by_activation_and_training,
    curve_rows,
    last_rows,
    over_seeds_of_panels,
    panel_means,
    series_of,
)
from ...figures.pictures import Arrays, each_series, picture_grid
from ...figures.points import EXPERIMENT, in_order, of_study, over_seeds
from ...figures.style import RC
from ...figures.traces import line
from ...runs import RunRecord
from ...selection import select

MEASURED = "runs measured by bdry curvature run=<run>, or with probe=[curvature]"
FAMILIES = {
    "nearest_refined": "nearest point",
    "deepfool_end": "DeepFool's end point",
    "nat_segment": "between two images",
    "random_dir": "in a random direction",
}
# so many decades below the largest value drawn the axis becomes linear
DECADES = 3
PROFILE_WHAT = (
    "Principal curvatures of the decision boundary at points of four families, in descending order: mean at each rank "
    "over points and seeds, bands from the 10 % to the 90 % quantile over points (mean over seeds). Logarithmic but "
    "for values near 0. F = f_own - f_other: positive curvature bends away from the image."
)


def profile_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `profile` draws: a row a series, family, method, scale and rank; curvatures in 1 / pixel units."""
    rows = last_rows(records, "curvature_profile")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch", "method"])
    rows = rows.assign(method=_named(rows))
    keys = [*EXPERIMENT, "series", "method", "family", "rank"]
    grouped = rows.groupby(keys, sort=True).agg(
        value=("mean", "mean"),
        low=("q10", "mean"),
        high=("q90", "mean"),
        num_seeds=("seed", "nunique"),
        num_images=("num_points", "min"),
    )
    return grouped.reset_index()


def _named(rows: pd.DataFrame) -> pd.Series:
    """Method and scale in one name."""
    scale = rows["scale"].map(lambda value: "" if pd.isna(value) else f" {value:.3g}")
    return rows["method"] + scale


def _method(name: str) -> str:
    """A method with its scale, as a title has it; another value as it is."""
    method, _, scale = name.partition(" ")
    words, _, of_scale = METHODS.get(method, name).partition(": ")
    return f"{words}, {of_scale} {scale}" if scale and of_scale else words


def _profile_figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in FAMILIES if (drawn["family"] == name).any()]
    panels = [Panel(name, "curvature (1 / pixel units)", FAMILIES[name], bottom=None) for name in names]
    layout = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    legend = Legend(in_order(drawn["series"]))
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            _curves(place, drawn[drawn["family"] == panel.name], legend)
            largest = float(drawn["value"].abs().max())
            top = math.ceil(math.log10(largest)) if largest > 0 else 0
            place.set_yscale("symlog", linthresh=10.0 ** (top - DECADES), linscale=0.5)
            decades = [10.0**exponent for exponent in range(top - DECADES + 1, top + 1)]
            place.set_yticks([*(-tick for tick in reversed(decades)), 0, *decades])
            place.set_xlabel("rank")
        add_legend(figure, legend)
    return figure


def _curves(axis: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    axis.axhline(0, color="#888888", linewidth=0.8)
    for name, curve in rows.sort_values("rank").groupby("series"):
        style = legend.style(str(name)) | {"marker": "", "linewidth": 1.2}
        ends = {end: curve[end] for end in ("low", "high")}
        line(axis, str(name), curve["rank"], curve["value"], **ends, band=0.1, **style)


PLANES = {"max": "most positive", "min": "most negative", "random": "random"}
SIDES = {"the image's class": "#9ecae9", "the class beyond": "#f7b98b", "another class": "#dddddd"}
SECTIONS_WHAT = (
    "Predicted class in planes through a boundary point nearest to an image (the cross), a row an image: upwards the "
    "normal, towards the image's class; to the right the tangent of the largest, of the smallest curvature kappa (that "
    "of the figure's first method) and a random one. Curvature kappa bends the boundary down by kappa x^2 / 2 (the "
    "line), near the point or at the scale of the method."
)
CONTINUED = "the curvature measured close to the point, continued"


def sections_data(rows: pd.DataFrame, planes: Arrays) -> pd.DataFrame:
    """A row a picture: image, plane, curvature along its tangent (nan for the random one) and shares of the sides."""
    rows = []
    for row, index in enumerate(planes["index"]):
        for name in PLANES:
            side = _sides(planes, name, row)
            curvature = planes[f"k{name}"][row] if name != "random" else np.nan
            shares = {side_name: float((side == number).mean()) for number, side_name in enumerate(SIDES)}
            rows.append({"row": row, "index": int(index), "plane": name, "curvature": float(curvature), **shares})
    return pd.DataFrame(rows)


def _sides(planes: Arrays, name: str, row: int) -> np.ndarray:
    """0, 1, 2 for the image's class, the class beyond and any other, along the normal and the tangent."""
    labels = planes[name][row]
    return np.where(labels == planes["own"][row], 0, np.where(labels == planes["other"][row], 1, 2))


def _sections_figure(drawn: pd.DataFrame, planes: Arrays, title: str) -> Figure:
    end = float(planes["axis"][-1])
    across = np.linspace(-end, end, 201)
    # curvature at a distance says where the boundary is there, and nothing of what lies beyond
    distance = planes.get("distance", np.full(1, np.nan))
    reach = float(distance[0]) if distance[0] < end else end
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(planes["index"]), len(PLANES), title, size=1.9, legend=0.3)
        for picture in drawn.itertuples():
            place = axes[picture.row][list(PLANES).index(str(picture.plane))]
            place.imshow(
                _sides(planes, str(picture.plane), picture.row),
                origin="lower",
                extent=(-end, end, -end, end),
                cmap=ListedColormap(list(SIDES.values())),
                vmin=0,
                vmax=len(SIDES) - 1,
                interpolation="nearest",
            )
            place.grid(visible=False)
            place.plot(0, 0, marker="+", color="#000000", markersize=6)
            curve = "" if np.isnan(picture.curvature) else f", kappa = {round(picture.curvature, 6):.2g}"
            if curve:
                parabola = -picture.curvature * across**2 / 2
                shown_at = (abs(parabola) < end) & (abs(across) <= reach)
                place.plot(across, np.where(shown_at, parabola, np.nan), color="#000000", linewidth=0.7)
            place.set_title(f"{PLANES[str(picture.plane)]}{curve}", fontsize=7.5)
            place.tick_params(labelsize=6.5)
            if picture.plane == "max":
                place.set_ylabel(f"image {picture.index}\nnormal", fontsize=7.5)
        for place in axes[-1]:
            place.set_xlabel("tangent (pixel units)", fontsize=7.5)
        handles: list[Artist] = [Patch(color=colour) for colour in SIDES.values()]
        handles.append(Line2D([], [], color="#000000", linewidth=0.7))
        texts = [
            *SIDES,
            CONTINUED if reach == end else f"the curvature measured at the distance {reach:.3g}",
        ]
        figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


KEYS = ["experiment", "seed", "family", "t"]
FAMILIES_WHAT = (
    "Above: share of boundary points whose tangent plane, at distance t from the point, lies on the image's own side "
    "more often than not; dashed: one half. It needs no sign convention. Below: mean curvature -2 s / t^2 with s the "
    "boundary's height over its tangent plane; F = f_own - f_other, positive bends away from the image."
)


def families_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `families` draws: panels `side` and `curvature` by family, columns of `points.over_seeds`."""
    rows = last_rows(records, "tangent_sides")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows.assign(own_side=mostly_own_side(rows))
    about = rows[[*EXPERIMENT, "seed", "series"]].drop_duplicates()
    parts = []
    for panel, column, band in (("side", "own_side", False), ("curvature", "mean_kappa", True)):
        groups = rows.dropna(subset=[column]).groupby(KEYS)[column]
        found = groups.agg(value="mean", num_images="size")
        if band:
            found = found.join(groups.quantile([0.25, 0.75]).unstack().set_axis(["q25", "q75"], axis=1))
        parts.append(found.reset_index().assign(panel=panel))
    points = pd.concat(parts, ignore_index=True).merge(about, on=["experiment", "seed"])
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "family"], along=["t"])


def mostly_own_side(rows: pd.DataFrame) -> pd.Series:
    """1 where the tangent plane is on the own side more often than not, 0 where less often, 0.5 where as often."""
    share = rows["share_own_side"]
    return (share > 0.5).astype(float) + 0.5 * (share == 0.5)


def _families_figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in FAMILIES if (drawn["family"] == name).any()]
    layout = [
        [share_panel(f"side {name}", "share of points on\ntheir own side", FAMILIES[name]) for name in names],
        [Panel(f"curvature {name}", "mean curvature\n(1 / pixel units)", bottom=None) for name in names],
    ]
    placed, legend = by_activation_and_training(drawn.assign(panel=drawn["panel"] + " " + drawn["family"]))
    # families are compared, hence one scale
    curvatures = drawn.loc[drawn["panel"] == "curvature", ["value", "low", "high"]]
    low, high = min(curvatures.min().min(), 0), max(curvatures.max().max(), 0)
    room = 0.05 * (high - low) or 1.0
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            place.axhline(0.5 if panel.name.startswith("side") else 0, **LEVEL)
            plot(place, placed[placed["panel"] == panel.name], legend, panel, x="t")
            log_ticks(place, drawn["t"])
            place.set_xlabel("t (pixel units of [0, 1])")
            if panel.name.startswith("curvature"):
                place.set_ylim(low - room, high + room)
        add_legend(figure, legend, {"what a plane has": LEVEL})
    return figure


METHODS = {
    "ad": "exact second derivatives",
    "geometric": "geometric: distance t",
    "softplus_swap": "softplus swap: beta",
    "smoothed": "smoothed: sigma",
    "fd": "central differences: step h",
}
SHOWN = {"kmax": "largest", "kmin": "smallest", "mean_kappa": "mean"}
DEFECT = "sym_defect"
FAMILY = "nearest_refined"
# that of a matrix of independent entries is sqrt 2
LARGEST_DEFECT = 1.5
SENSITIVITY_WHAT = (
    "Largest, smallest and mean curvature at nearest points (means over points) against the scale of each method that "
    "has one; dashed: exact second derivatives, where the network has them. Below: ||H - H^T|| / ||H|| of the dense "
    "Hessian before it is symmetrised; 0 is symmetric, and curvatures of a defect near 1 are not to be believed."
)


def sensitivity_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `sensitivity` draws: panel: method, with `defect ` in front for the lower row; series: quantity."""
    nothing = pd.DataFrame(columns=["dataset", "arch", "training_label"])
    main = of_study(records, "main")
    rows = select(main, "curvature_summary", moments="last", variants=True).rows
    rows = rows[rows["family"] == FAMILY]
    if rows.empty:
        return nothing
    rows = rows.assign(training_label=rows["experiment"].map(series_of(main)))
    several = rows.groupby(["experiment", "method"])["scale"].transform("nunique") > 1
    # of all methods the same images: those whose curvature was measured at several scales
    swept = rows.loc[several & (rows["method"] != "geometric"), ["experiment", "seed", "index"]].drop_duplicates()
    rows = rows.merge(swept, on=["experiment", "seed", "index"])
    if rows.empty:
        return nothing
    parts = []
    for column in (*SHOWN, DEFECT):
        groups = rows.dropna(subset=[column]).groupby(
            [*EXPERIMENT, "training_label", "seed", "method", "scale"], dropna=False
        )
        found = groups[column].agg(
            value="mean", num_images="size", q25=lambda v: v.quantile(0.25), q75=lambda v: v.quantile(0.75)
        )
        found = found.reset_index()
        panel = "defect " + found["method"] if column == DEFECT else found["method"]
        parts.append(found.assign(panel=panel, series=SHOWN.get(column, "defect")))
    points = pd.concat(parts, ignore_index=True).assign(scale=lambda table: table["scale"].fillna(0.0))
    return over_seeds(points, [*EXPERIMENT, "training_label", "panel", "series"], along=["scale"])


def _sensitivity_figure(drawn: pd.DataFrame, title: str) -> Figure:
    methods = [name for name in METHODS if name != "ad" and (drawn["panel"] == name).any()]
    layout: list[list[Panel | None]] = [
        [Panel(name, "curvature (1 / pixel units)", METHODS[name], bottom=None) for name in methods],
        [
            Panel(f"defect {name}", "symmetry defect", top=LARGEST_DEFECT)
            if (drawn["panel"] == f"defect {name}").any()
            else None
            for name in methods
        ],
    ]
    layout = layout if any(layout[1]) else layout[:1]
    legend = Legend([*SHOWN.values(), "defect"])
    exact = drawn[drawn["panel"] == "ad"].set_index("series")["value"]
    # methods are compared, hence one scale
    shown = drawn[drawn["panel"].isin(["ad", *methods])]
    low, high = shown[["value", "low"]].min().min(), shown[["value", "high"]].max().max()
    room = 0.05 * (high - low)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            plot(place, part, legend, panel, x="scale")
            if panel.name in METHODS:
                if room > 0:
                    place.set_ylim(low - room, high + room)
                for name, value in exact.items():
                    place.axhline(value, color=legend.style(str(name))["color"], linewidth=0.9, linestyle="--")
            log_ticks(place, part["scale"], "{:.3g}")
            place.set_xlabel(METHODS[panel.name.removeprefix("defect ")].partition(": ")[2])
        dashed = {"exact second derivatives": LEVEL} if len(exact) else {}
        add_legend(figure, legend if any(layout[1:]) else Legend(list(SHOWN.values())), dashed)
    return figure


CURVATURE = {
    "kmax": "largest curvature\n(1 / pixel units)",
    "kmin": "smallest curvature\n(1 / pixel units)",
    "mean_kappa": "mean curvature\n(1 / pixel units)",
    "frac_abs_lt_5pct": "share of flat directions\n(up to 5 % of the largest)",
}
CURVATURE_WHAT = (
    "Curvature of the decision boundary at the points nearest to a fixed set of images over training: means over "
    "points. Smooth networks: exact derivatives; ReLU: geometric, -2 s / t^2 at the smallest distance t measured; "
    "their extremes are those within a few directions, and their share of flat directions is not known. "
    "F = f_own - f_other: positive bends away from the image."
)


def curvature_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `curvature_over_training` draws; columns of `points.over_seeds`.

    Panels are columns of `curvature_summary`, and `side`.
    """
    rows, sides = curve_rows(records, "curvature_summary"), curve_rows(records, "tangent_sides")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows[(rows["family"] == FAMILY) & rows["method"].isin(["ad", "geometric"])]
    smallest = rows.groupby("experiment")["scale"].transform("min")
    rows = rows[(rows["method"] == "ad") | (rows["scale"] == smallest)]
    sides = sides[sides["family"] == FAMILY]
    sides = sides[sides["t"] == sides["t"].min()]
    parts = [panel_means(rows, column, column) for column in CURVATURE]
    parts.append(panel_means(sides.assign(own=mostly_own_side(sides)), "own", "side"))
    return over_seeds_of_panels(parts)


def _curvature_figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = [
        *(Panel(name, label, bottom=None) for name, label in CURVATURE.items()),
        share_panel("side", "share of points whose tangent\nplane is on their own side"),
    ]
    there = [panel for panel in panels if (drawn["panel"] == panel.name).any()]
    placed, legend = by_activation_and_training(drawn)
    return over_epochs(placed, [row for row in (there[:3], there[3:]) if row], legend, title)


FIGURES = (
    Drawing(
        "profile",
        f"{MEASURED}, smooth or by methods=[softplus_swap]",
        ("curvature_profile",),
        each(profile_data, _profile_figure, PROFILE_WHAT, by=["dataset", "arch", "method"], bands=False, words=_method),
    ),
    Drawing(
        "sections",
        MEASURED,
        ("boundary",),
        each_series("boundary", "curvature_sections", sections_data, _sections_figure, SECTIONS_WHAT),
    ),
    Drawing("families", MEASURED, ("tangent_sides",), each(families_data, _families_figure, FAMILIES_WHAT)),
    Drawing(
        "sensitivity",
        "bdry curvature run=<run> methods=[softplus_swap,fd] betas=[5,30] steps=[1,10]",
        (),
        each(sensitivity_data, _sensitivity_figure, SENSITIVITY_WHAT, by=["dataset", "arch", "training_label"]),
    ),
    Drawing(
        "curvature_over_training",
        "main runs with probe=[curvature], or checkpoint=all",
        ("curvature_summary", "tangent_sides"),
        each(curvature_data, _curvature_figure, CURVATURE_WHAT),
    ),
)
