"""Figures of classification regions (fawzi2017): `paths`, `convexity`, `filmstrips` and `regions_over_training`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...figures.curves import Legend, Panel, add_legend, grid, log_ticks, over_epochs, plot, share_panel
from ...figures.drawing import Drawing, each
from ...figures.networks import by_activation_and_training, curve_rows, last_rows, over_seeds_of_panels, panel_means
from ...figures.pictures import Arrays, each_series, picture_grid, show_image
from ...figures.points import EXPERIMENT, in_order, over_seeds
from ...figures.style import RC, shown
from ...runs import RunRecord

REGIONS = "runs measured by bdry regions run=<run>, or with probe=[regions]"
SCENARIOS = {
    "natural": "two images",
    "perturbed": "an image, and another one perturbed",
    "random": "an image, and noise perturbed",
}
NOT_FOUND = "not found"
# of bars, one a training
HATCHES = ("", "//////", "......")
STRAIGHT = "0"
# upper ends of the classes, beyond 0
LENGTHS = {"< 1e-5": 1e-5, "< 1e-4": 1e-4, "< 0.001": 1e-3, "< 0.01": 1e-2, "< 0.1": 1e-1, "more": np.inf}
ANCHORS = {"1": 2, "2-3": 4, "4-7": 8, "8-15": 16, "16-31": 32, "32-99": 100, "100+": np.inf}
PATHS_WHAT = (
    "Pairs of points with one label: above, by how much the path found inside its region is longer than the segment "
    "between them, D(P) - 1; below, anchors between the ends; 0 in both: the segment itself is inside. Not found: "
    "within the budget, which does not mean that there is no path. Pairs of all seeds; n counts them."
)


def paths_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `paths` draws: a row a series, scenario, quantity and class, with the share of pairs in it."""
    rows = last_rows(records, "paths")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows[rows["in_region"]]
    parts = []
    for keys, part in rows.groupby([*EXPERIMENT, "series", "scenario"], sort=True):
        about = dict(zip([*EXPERIMENT, "series", "scenario"], keys, strict=True))
        about |= {"num_images": len(part), "num_seeds": part["seed"].nunique()}
        excess = (part["relative_length"] - 1).where(~part["straight"], 0.0)
        for quantity, values, ends in (("length", excess, LENGTHS), ("anchors", part["num_anchors"], ANCHORS)):
            named = _classes(values.where(part["found"], np.nan), ends)
            shares = named.value_counts(normalize=True)
            for name in (STRAIGHT, *ends, NOT_FOUND):
                parts.append({**about, "quantity": quantity, "class": name, "value": shares.get(name, 0.0)})
    return pd.DataFrame(parts)


def _classes(values: pd.Series, ends: dict[str, float]) -> pd.Series:
    names = [STRAIGHT, *ends]
    # D(P) of a straight path is 1 up to rounding, which the table's `straight` has taken out
    number = np.searchsorted([0.0, *list(ends.values())[:-1]], values.clip(lower=0), side="right")
    number = np.where(values <= 0, 0, number)
    found = pd.Series([names[min(n, len(names) - 1)] for n in number], index=values.index)
    return found.where(values.notna(), NOT_FOUND)


def _paths_figure(drawn: pd.DataFrame, title: str) -> Figure:
    scenarios = [name for name in SCENARIOS if (drawn["scenario"] == name).any()]
    layout = [
        [
            share_panel(f"{quantity} {name}", "share of pairs", SCENARIOS[name] if quantity == "length" else "")
            for name in scenarios
        ]
        for quantity in ("length", "anchors")
    ]
    # as in the figures over training, a colour an activation; bars have hatches for lines
    series = in_order(drawn["series"])
    placed, legend = by_activation_and_training(drawn)
    keys = dict(zip(drawn["series"], zip(placed["series"], placed[legend.line], strict=True), strict=True))
    styles = {name: _bar(legend, *keys[name]) for name in series}
    width = 0.8 / len(series)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            quantity, scenario = panel.name.split(" ")
            part = drawn[(drawn["quantity"] == quantity) & (drawn["scenario"] == scenario)]
            names = list(dict.fromkeys(part["class"]))
            for number, name in enumerate(series):
                bars = part[part["series"] == name]
                at = np.array([names.index(one) for one in bars["class"]]) + (number + 0.5) * width - 0.4
                place.bar(at, bars["value"], width, **styles[name])
            place.set_xticks(range(len(names)), names, fontsize=7, rotation=40, ha="right", rotation_mode="anchor")
            place.set_axisbelow(True)
            place.grid(axis="x", visible=False)
            place.set_ylim(0, 1.02)
            place.set_xlabel("D(P) - 1" if quantity == "length" else "anchors")
        if len(series) > 1:
            handles = [Patch(**style) for style in styles.values()]
            figure.legend(handles, map(shown, series), loc="outside lower center", ncols=min(len(series), 3))
    return figure


def _bar(legend: Legend, activation: str, training: str) -> dict[str, Any]:
    """How a bar looks: the colour tells the activation, the hatch the training."""
    colour = legend.style(activation)["color"]
    return {"facecolor": colour, "edgecolor": "white", "linewidth": 0, "hatch": HATCHES[legend.lines[training]]}


ALL_REGIONS = -1
LAWS = {"dirichlet": "weights uniform on the simplex", "uniform": "weights 1/k"}
CONVEXITY_WHAT = (
    "Share of random convex combinations of k images of one predicted class that are predicted so as well, all classes "
    "pooled equally; n is the number of combinations. Of a single seed the band is the 95 % Wilson interval."
)


def convexity_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `convexity` draws: a row a series, law and k; columns of `points.over_seeds`."""
    rows = last_rows(records, "convexity")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    pooled = rows[rows["region"] == ALL_REGIONS]
    points = pooled.rename(
        columns={"hit_rate": "value", "ci_low": "q25", "ci_high": "q75", "num_combinations": "num_images"}
    )
    points = points.assign(law=points["weight_law"].map(LAWS))
    return over_seeds(points, [*EXPERIMENT, "series", "law"], along=["k"])


def _convexity_figure(drawn: pd.DataFrame, title: str) -> Figure:
    laws = [law for law in LAWS.values() if (drawn["law"] == law).any()]
    panels = [share_panel(law, "share that stays in the region", law) for law in laws]
    placed, legend = by_activation_and_training(drawn)
    lowest = drawn["low"].fillna(drawn["value"]).min()
    with matplotlib.rc_context(RC):
        figure, axes = grid([panels], title)
        for place, panel in axes:
            plot(place, placed[placed["law"] == panel.name], legend, panel, x="k")
            log_ticks(place, drawn["k"])
            room = 0.1 * max(1 - lowest, 0.01)
            place.set_ylim(lowest - room, 1 + room)
            place.set_xlabel("images combined, k")
        add_legend(figure, legend)
    return figure


COLUMNS = ["scenario", "strip", "pair", "label", "index1", "index2", "straight", "num_anchors", "relative_length"]
MOST = 3
FILMS_WHAT = (
    "Images at equal distances along paths inside the region of one predicted class, the first pairs of each scenario "
    "with a path found; left and right the two ends. Pixels are clipped to [0, 1] for the picture alone."
)


def films_data(rows: pd.DataFrame, films: Arrays) -> pd.DataFrame:
    """The rows of table `paths` that are drawn; strip: the film's number in the arrays."""
    parts = []
    for scenario in SCENARIOS:
        if scenario in films:
            kept = pd.DataFrame({"pair": films[f"{scenario}-pair"][:MOST]})
            kept = kept.assign(scenario=scenario, strip=range(len(kept)))
            parts.append(kept.merge(rows, on=["scenario", "pair"]))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _films_figure(drawn: pd.DataFrame, films: Arrays, title: str) -> Figure:
    length = next(iter(films.values())).shape[1]
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(drawn), length, title, size=0.75)
        for row, strip in zip(axes, drawn.itertuples(), strict=True):
            for place, image in zip(row, films[str(strip.scenario)][strip.strip], strict=True):
                show_image(place, image)
            anchors = "straight" if strip.straight else f"{strip.num_anchors} anchors"
            text = f"{strip.scenario}\n{anchors}\nD = {strip.relative_length:.4f}"
            row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=7)
    return figure


REGIONS_WHAT = (
    "Classification regions over training: share of pairs with a path found inside the region, share whose segment is "
    "inside, mean length of the paths found relative to the segment (all scenarios together), and share of convex "
    "combinations, of the largest number of images k, that stay inside. Not found means within the budget."
)


def regions_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `regions_over_training` draws; columns of `points.over_seeds`.

    Panels are `found`, `straight`, `length` and `convex`.
    """
    rows, convex = curve_rows(records, "paths"), curve_rows(records, "convexity")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows[rows["in_region"]]
    parts = [
        panel_means(rows.assign(value=rows["found"].astype(float)), "value", "found"),
        panel_means(rows.assign(value=rows["straight"].astype(float)), "value", "straight"),
        panel_means(rows[rows["found"]], "relative_length", "length"),
    ]
    if not convex.empty:
        pooled = convex[(convex["region"] == ALL_REGIONS) & (convex["k"] == convex["k"].max())]
        pooled = pooled[pooled["weight_law"] == sorted(pooled["weight_law"].unique())[0]]
        parts.append(panel_means(pooled, "hit_rate", "convex").assign(num_images=int(pooled["num_combinations"].min())))
    return over_seeds_of_panels([part.drop(columns=["q25", "q75"]) for part in parts])


def _regions_figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = [
        share_panel("found", "share with a path found"),
        share_panel("straight", "share with a straight path"),
        Panel("length", "mean relative length D(P)", bottom=None),
        share_panel("convex", "share of convex\ncombinations inside"),
    ]
    there = [panel for panel in panels if (drawn["panel"] == panel.name).any()]
    placed, legend = by_activation_and_training(drawn)
    return over_epochs(placed, [row for row in (there[:2], there[2:]) if row], legend, title)


FIGURES = (
    Drawing("filmstrips", REGIONS, ("paths",), each_series("paths", "films", films_data, _films_figure, FILMS_WHAT)),
    Drawing("paths", REGIONS, ("paths",), each(paths_data, _paths_figure, PATHS_WHAT, bands=False)),
    Drawing(
        "convexity", REGIONS, ("convexity",), each(convexity_data, _convexity_figure, CONVEXITY_WHAT, quartiles=False)
    ),
    Drawing(
        "regions_over_training",
        "main runs with probe=[regions], or checkpoint=all",
        ("paths", "convexity"),
        each(regions_data, _regions_figure, REGIONS_WHAT, quartiles=False),
    ),
)
