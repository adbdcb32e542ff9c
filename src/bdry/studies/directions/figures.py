"""Figure R5: distance to the boundary along random directions, beside the margin's, over training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...figures.curves import Legend, Panel, over_epochs, share_panel
from ...figures.drawing import Drawing, each
from ...figures.points import EXPERIMENT, IDENTITY, in_order, of_study, over_seeds, rows_of, series
from ...figures.style import NORM_LABELS
from ...runs import RunRecord

RANDOM, MARGIN = "random directions", "margin"
LINES = {RANDOM: 0, MARGIN: 1}
MOMENT = [*IDENTITY, "split", "step", "epoch"]
R5_WHAT = (
    "Median l2 distance to the boundary along fixed random unit directions, over images and directions, and median l2 "
    "margin of the same images; below it the share of rays that meet the boundary within the distance searched. Rays "
    "and images that do not count as infinitely far: no median is drawn where they are half or more."
)


def r5_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `R5` draws: columns of `points.over_seeds`; panels `distance` and `found`, a split each.

    line: `random directions` or `margin`. Quartiles, where there is one seed, are over images and directions.
    """
    main = of_study(records, "main")
    rays, margins = rows_of(main, "directions"), rows_of(main, "margins")
    margins = margins[(margins["norm"] == "l2") & ~margins["clipped"].astype(bool)]
    same = [*MOMENT, "index"]
    margins = margins.merge(rays[same].drop_duplicates())
    rays = rays.merge(margins[same].drop_duplicates())
    if rays.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    points = pd.concat(
        [
            _medians(rays, "distance").assign(panel="distance", line=RANDOM),
            _medians(margins, "margin").assign(panel="distance", line=MARGIN),
            _found(rays).assign(panel="found", line=RANDOM),
        ],
        ignore_index=True,
    ).dropna(subset=["value"])
    points["panel"] = points["panel"] + " " + points["split"]
    points["series"] = series(points, records)
    return over_seeds(points, [*EXPERIMENT, "series", "panel", "split", "line"])


def _medians(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    far = rows.assign(**{column: rows[column].where(rows["success"].astype(bool), np.inf)})
    groups = far.groupby(MOMENT)
    # nearest ranks: halfway between a number and infinity is no number
    quantiles = groups[column].quantile([0.25, 0.5, 0.75], interpolation="lower").unstack()
    quantiles = quantiles.replace(np.inf, np.nan).set_axis(["q25", "value", "q75"], axis=1)
    return quantiles.join(groups["index"].nunique().rename("num_images")).reset_index()


def _found(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby(MOMENT)
    return groups.agg(value=("success", "mean"), num_images=("index", "nunique")).reset_index()


def _r5_figure(drawn: pd.DataFrame, title: str) -> Figure:
    splits = [split for split in ("train", "test") if (drawn["split"] == split).any()]
    distance = f"median {NORM_LABELS['l2']} distance\n(pixel units of [0, 1])"
    layout = [
        [Panel(f"distance {split}", distance, f"{split} images", log=True) for split in splits],
        [share_panel(f"found {split}", "share of random rays\nthat meet the boundary") for split in splits],
    ]
    return over_epochs(drawn, layout, Legend(in_order(drawn["series"]), "line", LINES), title)


FIGURES = (
    Drawing(
        "R5",
        "main runs with probe=[margin,directions], margins in l2 outside the box",
        ("directions", "margins"),
        each(r5_data, _r5_figure, R5_WHAT),
    ),
)
