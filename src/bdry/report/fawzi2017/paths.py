"""Figure `paths`: how straight the paths inside regions are, and how many anchors they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, grid, share_panel
from ..points import EXPERIMENT, in_order
from ..style import COLOURS, RC
from .sources import last_rows

SCENARIOS = {
    "natural": "two images",
    "perturbed": "an image, and another one perturbed",
    "random": "an image, and noise perturbed",
}
NOT_FOUND = "not found"
STRAIGHT = "0"
# upper ends of the classes, beyond 0
LENGTHS = {"< 1e-5": 1e-5, "< 1e-4": 1e-4, "< 0.001": 1e-3, "< 0.01": 1e-2, "< 0.1": 1e-1, "more": np.inf}
ANCHORS = {"1": 2, "2-3": 4, "4-7": 8, "8-15": 16, "16-31": 32, "32-99": 100, "100+": np.inf}
WHAT = (
    "Pairs of points with one label: above, by how much the path found inside its region is longer than the segment "
    "between them, D(P) - 1; below, anchors between the ends; 0 in both: the segment itself is inside. Not found: "
    "within the budget, which does not mean that there is no path. Pairs of all seeds; n counts them."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture whose runs have the table `paths`."""
    return save_each("paths", drawn_data(records), records, folder, _figure, WHAT, quartiles=False)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a series, scenario, quantity and class, with the share of pairs in it."""
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


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    scenarios = [name for name in SCENARIOS if (drawn["scenario"] == name).any()]
    layout = [
        [
            share_panel(f"{quantity} {name}", "share of pairs", SCENARIOS[name] if quantity == "length" else "")
            for name in scenarios
        ]
        for quantity in ("length", "anchors")
    ]
    legend = Legend(in_order(drawn["series"]))
    width = 0.8 / len(legend.series)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            quantity, scenario = panel.name.split(" ")
            part = drawn[(drawn["quantity"] == quantity) & (drawn["scenario"] == scenario)]
            names = list(dict.fromkeys(part["class"]))
            for number, name in enumerate(legend.series):
                bars = part[part["series"] == name]
                at = np.array([names.index(one) for one in bars["class"]]) + (number + 0.5) * width - 0.4
                place.bar(at, bars["value"], width, color=COLOURS[number % len(COLOURS)])
            place.set_xticks(range(len(names)), names, fontsize=7, rotation=40, ha="right", rotation_mode="anchor")
            place.set_axisbelow(True)
            place.grid(axis="x", visible=False)
            place.set_ylim(0, 1.02)
            place.set_xlabel("D(P) - 1" if quantity == "length" else "anchors")
        entries = legend.entries()
        if len(entries) > 1:
            handles = [Patch(color=style["color"]) for style in entries.values()]
            figure.legend(handles, entries, loc="outside lower center", ncols=min(len(entries), 3))
    return figure
