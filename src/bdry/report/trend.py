"""The table `trend`: what each curve of mean margins over training comes to, in numbers that claims are made of.

Source: docs/papers/mickisch2020.md, Our experiments (trend).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..runs import RunRecord
from .points import FEWEST_IMAGES, IDENTITY, rows_of

CURVE = ["split", "norm", "subset"]
SUBSETS = ("all", "correct", "incorrect")
# our choice: the peak is looked for up to this epoch, and late is from this training accuracy on
PEAK_EPOCH = 8.0
LATE_ACCURACY = 0.99
COLUMNS = [
    *IDENTITY,
    *CURVE,
    "num_moments",
    "margin_init",
    "margin_epoch1",
    "margin_peak",
    "epoch_peak",
    "margin_at_trainacc99",
    "epoch_trainacc99",
    "margin_last",
    "epoch_last",
    "change_peak_last",
    "change_late",
    "spearman_epoch_margin_after_peak",
    "frac_decreased",
    "num_paired",
]


def trend(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, seed, split, norm and subset (all, correct, incorrect); runs without margins have none.

    Margins are means over the subset's images with a margin, in pixel units of [0, 1], without the [0, 1] box where
    both were measured; what a run does not say is nan:

    - margin_init: at step 0. margin_epoch1: at epoch 1, if that was measured.
    - margin_peak, epoch_peak: the largest mean after initialisation up to epoch 8, and when.
    - margin_at_trainacc99, epoch_trainacc99: at the first measured moment with train accuracy >= 99 %.
    - margin_last, epoch_last: at the last moment.
    - change_peak_last, change_late: margin_last / margin_peak - 1 and margin_last / margin_at_trainacc99 - 1, shares;
      nan where there is only one moment between them.
    - spearman_epoch_margin_after_peak: rank correlation of epoch and mean margin from the peak to the last moment; nan
      with fewer than three moments.
    - frac_decreased, num_paired: share of images whose margin is smaller at the last moment than at the peak, among
      the num_paired that were in the subset and had a margin at both.

    Means of the subsets correct and incorrect over fewer than 20 images are left out as if not measured.
    num_moments: those with a mean.
    """
    summary, margins, history = (rows_of(records, name) for name in ("margin_summary", "margins", "history"))
    enough = (summary["subset"] == "all") | (summary["num_success"] >= FEWEST_IMAGES)
    last_steps = summary.groupby(["run", "seed"])["step"].max()
    accuracy = history.set_index(["run", "seed", "step"])["train_accuracy"]
    images = {key: part for key, part in margins[margins["success"].astype(bool)].groupby(["run", "seed", *CURVE[:2]])}
    rows = []
    for key, part in summary[summary["mean"].notna() & enough].groupby([*IDENTITY, *CURVE], sort=True):
        about = dict(zip([*IDENTITY, *CURVE], key, strict=True))
        run = (about["run"], about["seed"])
        curve = part.sort_values("step").set_index("step")
        curve["train_accuracy"] = accuracy.reindex([(*run, step) for step in curve.index]).to_numpy()
        row, peak_step = _numbers(curve, last_steps[run])
        paired = _paired(images.get((*run, *key[-3:-1])), about["subset"], peak_step, last_steps[run])
        rows.append({**about, **row, **paired})
    return pd.DataFrame(rows, columns=COLUMNS)


def _numbers(curve: pd.DataFrame, last_step: int) -> tuple[dict[str, float], int | None]:
    """One curve's numbers, and the step of its peak; `curve` is indexed by step, in order."""
    means, epochs = curve["mean"], curve["epoch"]
    row: dict[str, float] = dict.fromkeys(COLUMNS[len(IDENTITY) + len(CURVE) : -2], np.nan)
    row |= {"num_moments": len(curve), "margin_init": means.get(0, np.nan)}
    row["margin_epoch1"] = means[np.isclose(epochs, 1)].max()
    row |= {"margin_last": means.get(last_step, np.nan), "epoch_last": epochs.get(last_step, np.nan)}
    late = curve.index[curve["train_accuracy"] >= LATE_ACCURACY]
    if len(late):
        row |= {"margin_at_trainacc99": means[late[0]], "epoch_trainacc99": epochs[late[0]]}
        if late[0] < last_step:
            row["change_late"] = row["margin_last"] / means[late[0]] - 1
    early = means[(curve.index > 0) & (epochs <= PEAK_EPOCH)]
    if early.empty:
        return row, None
    peak = int(early.idxmax())
    row |= {"margin_peak": means[peak], "epoch_peak": epochs[peak]}
    if peak < last_step:
        row["change_peak_last"] = row["margin_last"] / means[peak] - 1
    row["spearman_epoch_margin_after_peak"] = spearman(epochs.loc[peak:], means.loc[peak:])
    return row, peak


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Spearman's rank correlation; nan with fewer than three pairs or where one of them is constant."""
    # here, because it is slow to import and most commands do without
    from scipy.stats import spearmanr

    if len(first) < 3 or first.nunique() < 2 or second.nunique() < 2:
        return np.nan
    return float(spearmanr(first, second).statistic)


def _paired(images: pd.DataFrame | None, subset: str, peak_step: int | None, last_step: int) -> dict[str, Any]:
    nothing = {"frac_decreased": np.nan, "num_paired": 0}
    if images is None or peak_step is None or peak_step == last_step:
        return nothing
    if subset != "all":
        images = images[images["correct"] == (subset == "correct")]
    peak, last = (images[images["step"] == step].set_index("index")["margin"] for step in (peak_step, last_step))
    both = peak.index.intersection(last.index)
    if both.empty:
        return nothing
    return {"frac_decreased": float((last[both] < peak[both]).mean()), "num_paired": len(both)}
