"""Figure R4: how the margins of all images are distributed, early in training and late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, Panel, add_legend, grid, norms_in, plot
from ..points import EXPERIMENT, in_order, of_study, over_seeds, rows_of, series
from ..style import NORM_LABELS, RC
from ..trend import LATE_ACCURACY

SPLITS = {"train": 0, "test": 1}
EARLY_EPOCH = 1.0
EARLY, LATE, LAST = MOMENTS = ("early", "train accuracy 99 %", "last")
NUM_POINTS = 120
WHAT = (
    "Distribution of margins: share of images whose margin is at most the value on the x axis, at a few moments of "
    "training; images without a margin found count as farther."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws R4 for each data set and architecture."""
    return save_each("R4", drawn_data(records), records, folder, _figure, WHAT, quartiles=False, notes=_when)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a point of an empirical distribution function, whose value is the share.

    margin: the point, in pixel units of [0, 1]. series: `early` is the last moment of the first epoch (or the first
    one after initialisation), `train accuracy 99 %` the first with it, `last` the last; a moment that is two of these
    is the later. epoch_low, epoch_high: of the seeds' moments.
    """
    main = of_study(records, "main")
    margins, history = rows_of(main, "margins"), rows_of(main, "history")
    if margins.empty:
        return pd.DataFrame(columns=["dataset", "arch"])
    moments = margins[["run", "seed", "step", "epoch"]].drop_duplicates()
    moments = moments.merge(history[["run", "seed", "step", "train_accuracy"]], how="left")
    named = pd.concat([_named(part.sort_values("step")) for _, part in moments.groupby(["run", "seed"])])
    chosen = margins.merge(named[["run", "seed", "step", "series"]])
    chosen["training_label"] = series(chosen)
    curve = [*EXPERIMENT, "training_label", "series", "norm", "split"]
    points = pd.concat([_distributions(panel) for _, panel in chosen.groupby(["run", "norm"])], ignore_index=True)
    drawn = over_seeds(points, curve, along=["margin"]).rename(columns={"norm": "panel"})
    when = named.groupby(["run", "series"])["epoch"].agg(epoch_low="min", epoch_high="max").reset_index()
    return drawn.drop(columns=["lower_bound", "adv_eps"]).merge(when)


def _named(moments: pd.DataFrame) -> pd.DataFrame:
    """The moments of one run and seed that are drawn, by name."""
    after = moments[moments["step"] > 0]
    early = after[after["epoch"] <= EARLY_EPOCH].tail(1) if len(after) else moments.head(0)
    early = after.head(1) if early.empty else early
    late = moments[moments["train_accuracy"] >= LATE_ACCURACY].head(1)
    parts = zip((early, late, moments.tail(1)), MOMENTS, strict=True)
    return pd.concat([part.assign(series=name) for part, name in parts]).drop_duplicates("step", keep="last")


def _distributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Distribution functions of one run and norm, a row a point of `NUM_POINTS`, split, moment and seed."""
    found = rows.loc[rows["success"].astype(bool), "margin"]
    at = np.linspace(0, found.max() if len(found) else 1.0, NUM_POINTS)
    keys = [*EXPERIMENT, "training_label", "seed", "series", "norm", "split"]
    parts = []
    for values, part in rows.groupby(keys):
        margins = np.sort(part["margin"].to_numpy(np.float64))  # nan, for none found, comes last
        share = np.searchsorted(margins, at, side="right") / len(part)
        about = dict(zip(keys, values, strict=True))
        parts.append(pd.DataFrame({**about, "margin": at, "value": share, "num_images": len(part)}))
    return pd.concat(parts, ignore_index=True)


def _when(part: pd.DataFrame) -> str:
    phrases = []
    for (training, name), rows in part.groupby(["training_label", "series"], sort=True):
        low, high = rows["epoch_low"].iloc[0], rows["epoch_high"].iloc[0]
        phrases.append(f"{training}, {name}: epoch {low:.3g}" + (f" to {high:.3g}" if high > low else ""))
    return f"Moments: {'; '.join(phrases)}."


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, trainings = norms_in(drawn["panel"]), in_order(drawn["training_label"])
    layout = [[Panel(f"{name} {norm}", "share of images", name) for norm in norms] for name in trainings]
    placed = drawn.assign(panel=drawn["training_label"] + " " + drawn["panel"], lower_bound=np.nan, adv_eps=np.nan)
    legend = Legend([name for name in MOMENTS if (drawn["series"] == name).any()], "split", SPLITS)
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title)
        for place, panel in axes:
            plot(place, placed[placed["panel"] == panel.name], legend, panel, x="margin")
            place.set_xlim(left=0)
            norm = panel.name.rsplit(" ", 1)[1]
            place.set_xlabel(f"{NORM_LABELS[norm]} margin (pixel units of [0, 1])")
        add_legend(figure, legend)
    return figure
