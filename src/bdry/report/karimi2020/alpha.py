"""Figure `alpha`: what the weight of the class term does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import PAIR, arrow, experiments, keep, rows_of

PANELS = {
    "success_rate": "success rate",
    "distance_median": "median $\\ell_2$ distance\nto the source",
    "spread": "spread of the instances",
    "flips": "flips a segment",
    "hysteresis": "hysteresis flips a segment",
}
WHAT = (
    "DeepDIG with other weights of the class term, the same in both stages: mean over seeds, bands: smallest to "
    "largest seed. Distance and spread (mean pairwise l2 distance) in pixel units of [0, 1]. Flips are to be read "
    "beside the spread: points that bunch up flip less on any boundary."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture with pairs of more than one alpha."""
    return [
        path
        for title, drawn in experiments(drawn_data(records))
        for path in keep("alpha", title, _figure(drawn, title), drawn, records, folder, WHAT)
    ]


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a direction and alpha; <value>_low and _high are the ends of the band."""
    generation, idc = rows_of(records, "generation"), rows_of(records, "idc")
    rows = generation[generation["method"] == "deepdig"]
    if rows.empty:
        return rows
    unit = ["dataset", "arch", "run", "seed", *PAIR, "alpha"]
    idc = idc[idc["method"] == "deepdig"]
    idc = idc[idc["grid"] == (idc["grid"].mode().iloc[-1] if len(idc) else 0)]
    rows = rows.merge(idc[[*unit, "flips", "hysteresis"]], on=unit, how="left")
    rows = rows[rows.groupby(["run", *PAIR])["alpha"].transform("nunique") > 1]
    curve = rows.groupby(["dataset", "arch", "run", *PAIR, "alpha"])
    bands = {
        f"{name}{ending}": (name, how)
        for name in PANELS
        for ending, how in (("", "mean"), ("_low", "min"), ("_high", "max"))
    }
    return curve.agg(**bands, num_seeds=("seed", "nunique")).reset_index()


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2.3 * len(PANELS), 2.9), layout="constrained")
        for place, (name, label) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            for number, ((s, t), curve) in enumerate(drawn.groupby(PAIR)):
                colour = COLOURS[number % len(COLOURS)]
                place.plot(curve["alpha"], curve[name], color=colour, marker="o", markersize=3, label=arrow(s, t))
                place.fill_between(
                    curve["alpha"], curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.13, linewidth=0
                )
            if (drawn["alpha"] > 0).all():
                place.set_xscale("log")
            alphas = sorted(drawn["alpha"].unique())
            place.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
            place.set_xticks([], minor=True)
            place.set_xlabel("alpha")
            place.set_ylabel(label)
            place.set_ylim(bottom=0, top=1.03 if name == "success_rate" else None)
        figure.suptitle(f"alpha: {title}", fontsize=10.5)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure
