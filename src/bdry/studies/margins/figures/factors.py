"""Figure `factors`: the margin to first order over training, and the logit gap and gradient norm that it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ....figures.curves import Legend, Panel, norms_in, over_epochs
from ....figures.drawing import Drawing, each
from ....figures.points import EXPERIMENT, IDENTITY, in_order, of_study, over_seeds, rows_of, series
from ....figures.style import NORM_LABELS
from ....runs import RunRecord

SPLITS = {"train": 0, "test": 1}
FACTORS = {
    "margin": "{} margin to first order\n(pixel units of [0, 1])",
    "logit_gap": "logit gap of the\nnearest class, {}",
    "gradient_norm": "dual norm of the gap's\ngradient, {}",
}
FACTORS_WHAT = (
    "The margin to first order, logit gap over the dual norm of the gap's gradient at the image, and below it the two, "
    "by norm: geometric means over images, so that the logarithms of the curves add up. No estimator is involved."
)


def factors_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `factors` draws: columns of `points.over_seeds`; panels `<factor> <norm>`.

    value: geometric mean over the images whose gap and gradient norm are above 0. Quartiles, where there is one seed,
    are over the same images.
    """
    rows = rows_of(of_study(records, "main"), "first_order")
    rows = rows[(rows["logit_gap"] > 0) & (rows["gradient_norm"] > 0)]
    if rows.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    moment = [*IDENTITY, "split", "step", "epoch", "norm"]
    parts = []
    for factor in FACTORS:
        logs = np.log(rows[factor]).groupby([rows[name] for name in moment])
        quartiles = np.exp(logs.quantile([0.25, 0.75]).unstack()).set_axis(["q25", "q75"], axis=1)
        found = quartiles.assign(value=np.exp(logs.mean()), num_images=logs.size()).reset_index()
        parts.append(found.assign(panel=f"{factor} " + found["norm"]))
    points = pd.concat(parts, ignore_index=True)
    points["series"] = series(points)
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split"])


def _factors_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"].str.split().str[-1])
    layout = [
        [Panel(f"{factor} {norm}", label.format(NORM_LABELS[norm]), log=True) for norm in norms]
        for factor, label in FACTORS.items()
    ]
    return over_epochs(drawn, layout, Legend(in_order(drawn["series"]), "split", SPLITS), title)


FIGURES = (
    Drawing(
        "factors",
        "main runs with probe=[margin] and the table first_order",
        ("first_order",),
        each(factors_data, _factors_figure, FACTORS_WHAT),
    ),
)
