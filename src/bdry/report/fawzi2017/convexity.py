"""Figure `convexity`: the share of convex combinations of a region's images that stay in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import add_legend, grid, plot, share_panel
from ..points import EXPERIMENT, over_seeds
from ..style import RC
from .legends import by_activation_and_training
from .sources import last_rows

ALL_REGIONS = -1
LAWS = {"dirichlet": "weights uniform on the simplex", "uniform": "weights 1/k"}
WHAT = (
    "Share of random convex combinations of k images of one predicted class that are predicted so as well, all classes "
    "pooled equally; n is the number of combinations. Of a single seed the band is the 95 % Wilson interval."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture whose runs have the table `convexity`."""
    return save_each("convexity", drawn_data(records), records, folder, _figure, WHAT, quartiles=False)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a series, law and k; columns of `points.over_seeds`."""
    rows = last_rows(records, "convexity")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    pooled = rows[rows["region"] == ALL_REGIONS]
    points = pooled.rename(
        columns={"hit_rate": "value", "ci_low": "q25", "ci_high": "q75", "num_combinations": "num_images"}
    )
    points = points.assign(law=points["weight_law"].map(LAWS))
    return over_seeds(points, [*EXPERIMENT, "series", "law"], along=["k"])


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    laws = [law for law in LAWS.values() if (drawn["law"] == law).any()]
    panels = [share_panel(law, "share that stays in the region", law) for law in laws]
    placed, legend = by_activation_and_training(drawn)
    lowest = drawn["low"].fillna(drawn["value"]).min()
    with matplotlib.rc_context(RC):
        figure, axes = grid([panels], title)
        for place, panel in axes:
            plot(place, placed[placed["law"] == panel.name], legend, panel, x="k")
            place.set_xscale("log")
            ks = sorted(drawn["k"].unique())
            place.set_xticks(ks, [str(k) for k in ks])
            place.set_xticks([], minor=True)
            place.set_ylim(max(-0.02, lowest - 0.05), 1 + 0.05 * (1.05 - lowest))
            place.set_xlabel("images combined, k")
        add_legend(figure, legend)
    return figure
