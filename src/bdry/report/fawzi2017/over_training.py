"""Figures `curvature_over_training` and `regions_over_training`: how both evolve, standard against adversarial.

None of the four papers has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Panel, over_epochs, share_panel
from ..points import EXPERIMENT, over_seeds
from .convexity import ALL_REGIONS
from .families import mostly_own_side
from .legends import by_activation_and_training
from .sources import training_rows

FAMILY = "nearest_refined"
MOMENT = [*EXPERIMENT, "series", "seed", "step", "epoch"]
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
REGIONS_WHAT = (
    "Classification regions over training: share of pairs with a path found inside the region, share whose segment is "
    "inside, mean length of the paths found relative to the segment (all scenarios together), and share of convex "
    "combinations, of the largest number of images k, that stay inside. Not found means within the budget."
)


def draw_curvature(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture whose runs measured curvature at several moments."""
    drawn = curvature_data(records)
    return save_each("curvature_over_training", drawn, records, folder, _curvature_figure, CURVATURE_WHAT)


def draw_regions(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture whose runs measured regions at several moments."""
    drawn = regions_data(records)
    return save_each("regions_over_training", drawn, records, folder, _regions_figure, REGIONS_WHAT, quartiles=False)


def curvature_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: panels are columns of `curvature_summary`, and `side`; as `points.over_seeds`."""
    rows, sides = training_rows(records, "curvature_summary"), training_rows(records, "tangent_sides")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows[(rows["family"] == FAMILY) & rows["method"].isin(["ad", "geometric"])]
    smallest = rows.groupby("run")["scale"].transform("min")
    rows = rows[(rows["method"] == "ad") | (rows["scale"] == smallest)]
    sides = sides[sides["family"] == FAMILY]
    sides = sides[sides["t"] == sides["t"].min()]
    parts = [_means(rows, column, column) for column in CURVATURE]
    parts.append(_means(sides.assign(own=mostly_own_side(sides)), "own", "side"))
    return _curves(parts)


def regions_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: panels `found`, `straight`, `length` and `convex`; as `points.over_seeds`."""
    rows, convex = training_rows(records, "paths"), training_rows(records, "convexity")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows[rows["in_region"]]
    parts = [
        _means(rows.assign(value=rows["found"].astype(float)), "value", "found"),
        _means(rows.assign(value=rows["straight"].astype(float)), "value", "straight"),
        _means(rows[rows["found"]], "relative_length", "length"),
    ]
    if not convex.empty:
        pooled = convex[(convex["region"] == ALL_REGIONS) & (convex["k"] == convex["k"].max())]
        pooled = pooled[pooled["weight_law"] == sorted(pooled["weight_law"].unique())[0]]
        parts.append(_means(pooled, "hit_rate", "convex").assign(num_images=int(pooled["num_combinations"].min())))
    return _curves([part.drop(columns=["q25", "q75"]) for part in parts])


def _curves(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    known = [part for part in parts if len(part)]
    if not known:
        return pd.DataFrame(columns=["dataset", "arch"])
    return over_seeds(pd.concat(known, ignore_index=True), [*EXPERIMENT, "series", "panel"])


def _means(rows: pd.DataFrame, column: str, panel: str) -> pd.DataFrame:
    known = rows.dropna(subset=[column])
    groups = known.groupby(MOMENT, sort=True)[column]
    found = groups.agg(value="mean", num_images="size", q25=lambda v: v.quantile(0.25), q75=lambda v: v.quantile(0.75))
    if set(known[column].unique()) <= {0.0, 0.5, 1.0}:
        # quartiles of yes, no and neither say nothing
        found = found.assign(q25=float("nan"), q75=float("nan"))
    return found.reset_index().assign(panel=panel)


def _curvature_figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = [
        *(Panel(name, label, bottom=None) for name, label in CURVATURE.items()),
        share_panel("side", "share of points whose tangent\nplane is on their own side"),
    ]
    there = [panel for panel in panels if (drawn["panel"] == panel.name).any()]
    placed, legend = by_activation_and_training(drawn)
    return over_epochs(placed, [row for row in (there[:3], there[3:]) if row], legend, title)


def _regions_figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = [
        share_panel("found", "share with a path found"),
        share_panel("straight", "share with a straight path"),
        Panel("length", "mean relative length D(P)", bottom=None),
        share_panel("convex", "share of convex combinations inside"),
    ]
    there = [panel for panel in panels if (drawn["panel"] == panel.name).any()]
    placed, legend = by_activation_and_training(drawn)
    return over_epochs(placed, [row for row in (there[:2], there[2:]) if row], legend, title)
