"""Figure `sensitivity`: what a spectrum's extremes become with another method or scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, add_legend, grid, plot
from ..points import EXPERIMENT, of_study, over_seeds
from ..style import RC
from .sources import series_of

METHODS = {
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
WHAT = (
    "Largest, smallest and mean curvature at nearest points (means over points) against the scale of each method that "
    "has one; dashed: exact second derivatives, where the network has them. Below: ||H - H^T|| / ||H|| of the dense "
    "Hessian before it is symmetrised; 0 is symmetric, and curvatures of a defect near 1 are not to be believed."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and training measured at several scales of a method."""
    by = ["dataset", "arch", "training_label"]
    return save_each("sensitivity", drawn_data(records), records, folder, _figure, WHAT, by=by)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: panel: method, with `defect ` in front for the lower row; series: quantity."""
    nothing = pd.DataFrame(columns=["dataset", "arch", "training_label"])
    tables = []
    for record in of_study(records, "main"):
        found = record.measured("curvature_summary")
        if found is not None:
            tables.append(found[found["family"] == FAMILY].assign(training_label=series_of(record)))
    if not tables:
        return nothing
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["step"] == rows.groupby(["run", "seed"])["step"].transform("max")]
    # the same point may be in several measurements
    rows = rows.drop_duplicates(["run", "seed", "method", "scale", "index"])
    several = rows.groupby(["run", "method"])["scale"].transform("nunique") > 1
    # of all methods the same images: those whose curvature was measured at several scales
    swept = rows.loc[several & (rows["method"] != "geometric"), ["run", "seed", "index"]].drop_duplicates()
    rows = rows.merge(swept, on=["run", "seed", "index"])
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


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    methods = [name for name in METHODS if (drawn["panel"] == name).any()]
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
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            part = drawn[drawn["panel"] == panel.name]
            plot(place, part, legend, panel, x="scale")
            if panel.name in METHODS:
                for name, value in exact.items():
                    place.axhline(value, color=legend.style(str(name))["color"], linewidth=0.9, linestyle="--")
            place.set_xscale("log")
            ticks = np.unique(part["scale"])
            place.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            place.set_xticks([], minor=True)
        add_legend(figure, Legend(list(SHOWN.values())))
    return figure
