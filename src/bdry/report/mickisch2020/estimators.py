"""Figure `estimators`: the same margins by several estimators, over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, margin_panel, norms_in, over_epochs
from ..points import EXPERIMENT, IDENTITY, of_study, one_box, over_seeds, series
from ..style import NORM_LABELS

SPLITS = {"train": 0, "test": 1}
WHAT = (
    "Margins of the same images by several estimators over training: mean margin, and below it the mean ratio to the "
    "smallest margin that any of them found; both over the images that every estimator found. With one seed the "
    "ratios alone have a band."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and training with the table `estimator_check`."""
    drawn = drawn_data(records)
    return save_each("estimators", drawn, records, folder, _figure, WHAT, by=["dataset", "arch", "training_label"])


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`, a series an estimator.

    Panels `l2` and `linf` are mean margins, `ratio l2` and `ratio linf` mean ratios to the best known. Of estimators
    that several measurements of a run have in common, the last measured counts.
    """
    measured = [
        found for record in of_study(records, "main") if (found := record.measured("estimator_check")) is not None
    ]
    if not measured:
        return pd.DataFrame(columns=["dataset", "arch", "training_label"])
    rows = pd.concat([_shared(one_box(found)) for found in measured], ignore_index=True)
    moment = [*IDENTITY, "split", "step", "epoch", "norm", "estimator"]
    parts = []
    for column, prefix in (("margin", ""), ("ratio", "ratio ")):
        groups = rows.groupby(moment)[column]
        quartiles = groups.quantile([0.25, 0.75]).unstack().set_axis(["q25", "q75"], axis=1)
        if column == "margin":
            # images differ more than estimators do: bands of all would hide the curves
            quartiles[:] = np.nan
        found = quartiles.assign(value=groups.mean(), num_images=groups.size()).reset_index()
        parts.append(found.assign(panel=prefix + found["norm"]))
    points = pd.concat(parts, ignore_index=True).rename(columns={"estimator": "series"})
    points["training_label"] = series(points)
    return over_seeds(points, [*EXPERIMENT, "training_label", "series", "panel", "split"])


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """One run's rows: each image, norm and estimator once, of the images where every estimator found a margin."""
    image = ["step", "split", "index", "norm"]
    rows = rows.drop_duplicates([*image, "estimator"], keep="last")
    groups = rows.groupby(image)["margin"]
    found_by = groups.transform("count")
    everyone = rows.groupby(["step", "split", "norm"])["estimator"].transform("nunique")
    best = groups.transform("min")
    return rows.assign(ratio=rows["margin"] / best.where(best > 0, np.nan))[found_by == everyone]


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"])
    ratios = [Panel(f"ratio {norm}", f"{NORM_LABELS[norm]} margin / best known", bottom=None) for norm in norms]
    layout = [[margin_panel(norm) for norm in norms], ratios]
    return over_epochs(drawn, layout, Legend(sorted(drawn["series"].unique()), "split", SPLITS), title)
