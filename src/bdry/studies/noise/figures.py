"""Figure `noise`: accuracy under noise of growing size, and how it goes with the mean margin."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...core.statistics import spearman
from ...figures.curves import MARKERS, Legend, Panel, add_legend, by_split, grid, plot, same_scale, share_panel
from ...figures.drawing import Drawing, each
from ...figures.points import (
    EXPERIMENT,
    IDENTITY,
    in_order,
    last_moment,
    margin_points,
    of_study,
    over_seeds,
    rows_of,
    series,
)
from ...figures.style import COLOURS, NORM_LABELS, RC
from ...runs import RunRecord

KINDS = ("gaussian", "uniform")
NOISE_WHAT = (
    "Accuracy under noise of growing size at the last moment, by kind of noise. Below: every moment after "
    "initialisation of every seed, accuracy on noisy test images (mean over sizes) against the mean l2 margin of test "
    "images, with Spearman's rank correlation over all of them."
)


def noise_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `noise` draws; panels `gaussian` and `uniform`, and `gaussian against margin` and so on.

    In the former size is a pixel's standard deviation, in pixel units of [0, 1], and value, low, high, num_seeds and
    num_images are as in `points.over_seeds`. In the latter a row is a moment of a seed, at the mean l2 margin `margin`.
    """
    main = of_study(records, "main")
    rows = rows_of(main, "noise")
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    rows = rows.rename(columns={"noise": "panel", "accuracy": "value"})
    curves = over_seeds(last_moment(rows), [*EXPERIMENT, "panel", "split"], along=["size"])
    together = pd.concat([curves, _against_margin(rows, margin_points(main))], ignore_index=True)
    together["series"] = series(together, records)
    return together.drop(columns=["lower_bound", "adv_eps"])


def _against_margin(rows: pd.DataFrame, margins: pd.DataFrame) -> pd.DataFrame:
    chosen = rows[(rows["split"] == "test") & (rows["step"] > 0) & (rows["size"] > 0)]
    moment = [*IDENTITY, "split", "step", "epoch"]
    accuracy = chosen.groupby([*moment, "panel"]).agg(value=("value", "mean"), num_images=("num_images", "min"))
    l2 = margins.loc[margins["norm"] == "l2", [*moment, "value"]].rename(columns={"value": "margin"})
    found = accuracy.reset_index().merge(l2)
    return found.assign(panel=found["panel"] + " against margin", num_seeds=1).drop(columns="adv")


def _noise_figure(drawn: pd.DataFrame, title: str) -> Figure:
    kinds = [kind for kind in KINDS if (drawn["panel"] == kind).any()]
    layout = [[share_panel(kind, "accuracy", f"{kind} noise, last moment") for kind in kinds]]
    if drawn["panel"].str.endswith("margin").any():
        layout += [
            [Panel(f"{kind} against margin", f"accuracy under {kind} noise\n(mean over sizes)") for kind in kinds]
        ]
    legend = by_split(in_order(drawn["series"]), drawn)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            points = drawn[drawn["panel"] == panel.name].assign(lower_bound=np.nan, adv_eps=np.nan)
            if panel.name in kinds:
                plot(place, points, legend, panel, x="size")
                place.set_xlabel("standard deviation of the noise\n(pixel units of [0, 1])")
            else:
                _scatter(place, points, legend)
        same_scale([place for place, panel in axes if panel.name not in kinds])
        add_legend(figure, legend)
    return figure


def _scatter(axis: Axes, points: pd.DataFrame, legend: Legend) -> None:
    for name, part in points.groupby("series"):
        number = legend.series.index(name)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axis.plot(part["margin"], part["value"], color=colour, marker=marker, markersize=3.5, alpha=0.7, linestyle="")
    axis.set_title(f"rank correlation {spearman(points['margin'], points['value']):.2f}, {len(points)} moments")
    axis.set_xlabel(f"mean {NORM_LABELS['l2']} margin of test images\n(pixel units of [0, 1])")


FIGURES = (
    Drawing(
        "noise",
        "main runs with probe=[margin,noise]",
        ("noise", "margin_summary"),
        each(noise_data, _noise_figure, NOISE_WHAT, quartiles=False),
    ),
)
