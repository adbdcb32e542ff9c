"""Figure `families`: on which side of the boundary its tangent planes lie, by how the point was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Panel, add_legend, grid, plot, share_panel
from ..points import EXPERIMENT, over_seeds
from ..style import RC
from .legends import by_activation_and_training
from .profile import FAMILIES
from .sources import last_rows

KEYS = ["run", "seed", "family", "t"]
WHAT = (
    "Above: share of boundary points whose tangent plane, at distance t from the point, lies on the image's own side "
    "more often than not; dashed: one half. It needs no sign convention. Below: mean curvature -2 s / t^2 with s the "
    "boundary's height over its tangent plane; F = f_own - f_other, positive bends away from the image."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture whose runs have the table `tangent_sides`."""
    return save_each("families", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: panels `side` and `curvature` by family, columns of `points.over_seeds`."""
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
    points = pd.concat(parts, ignore_index=True).merge(about, on=["run", "seed"])
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "family"], along=["t"])


def mostly_own_side(rows: pd.DataFrame) -> pd.Series:
    """1 where the tangent plane is on the own side more often than not, 0 where less often, 0.5 where as often."""
    share = rows["share_own_side"]
    return (share > 0.5).astype(float) + 0.5 * (share == 0.5)


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    names = [name for name in FAMILIES if (drawn["family"] == name).any()]
    layout = [
        [share_panel(f"side {name}", "share of points on\ntheir own side", FAMILIES[name]) for name in names],
        [Panel(f"curvature {name}", "mean curvature\n(1 / pixel units)", bottom=None) for name in names],
    ]
    placed, legend = by_activation_and_training(drawn.assign(panel=drawn["panel"] + " " + drawn["family"]))
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            place.axhline(0.5 if panel.name.startswith("side") else 0, color="#888888", linewidth=0.8, linestyle="--")
            plot(place, placed[placed["panel"] == panel.name], legend, panel, x="t")
            place.set_xscale("log")
            ticks = sorted(drawn["t"].unique())
            place.set_xticks(ticks, [f"{t:g}" for t in ticks])
            place.set_xticks([], minor=True)
            place.set_xlabel("t (pixel units of [0, 1])")
        add_legend(figure, legend)
    return figure
