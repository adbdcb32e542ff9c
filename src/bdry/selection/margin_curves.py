"""Margin curves as claims need them: for each seed a frame with a row an image and a column an epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .evidence import Evidence

# a subset with fewer images than this at some moment says nothing there
FEWEST_IMAGES = 20

Curves = dict[int, pd.DataFrame]


def margin_curves(
    evidence: Evidence,
    *,
    training: str,
    split: str,
    norm: str,
    subset: str = "all",
    study: str = "main",
) -> Curves:
    """Margins in R^d by seed: index the image, columns the epochs, nan where none was found or outside the subset.

    subset: all, correct or incorrect, as the image is classified at each moment.
    """
    rows = evidence.rows("margins", training=training, split=split, norm=norm, study=study, clipped=False)
    if subset != "all":
        rows = rows[rows["correct"].astype(bool) == (subset == "correct")]
    found = rows[rows["success"].astype(bool)]
    return {
        int(seed): part.pivot_table(index="index", columns="epoch", values="margin", aggfunc="mean").astype(np.float64)
        for seed, part in found.groupby("seed")
    }


def means(curve: pd.DataFrame) -> pd.Series:
    """Mean margin at each epoch, nan where fewer than FEWEST_IMAGES images have one (all, where there are fewer)."""
    enough = curve.notna().sum() >= min(FEWEST_IMAGES, len(curve))
    return curve.mean().where(enough)


def peak_epoch(curve: pd.DataFrame, until: float) -> float:
    """The epoch of the largest mean margin after initialisation, up to `until`; nan where there is none."""
    early = means(curve).loc[lambda mean: (mean.index > 0) & (mean.index <= until)].dropna()
    return float(early.idxmax()) if len(early) else np.nan


def change_since(curve: pd.DataFrame, epoch: float) -> float:
    """Relative change of the mean margin from `epoch` to the last one, e.g. -0.3; nan where either is missing."""
    mean = means(curve)
    if not np.isfinite(epoch) or epoch not in mean.index or epoch >= mean.index[-1]:
        return np.nan
    return float(mean.iloc[-1] / mean[epoch] - 1)


def change_since_peak(curve: pd.DataFrame, until: float) -> float:
    """Relative change of the mean margin from its peak up to the epoch `until` to the last epoch, which is later."""
    return change_since(curve, peak_epoch(curve, until)) if curve.columns[-1] > until else np.nan


def first_from(curve: pd.DataFrame, epoch: float) -> float:
    """The first epoch measured that is not before `epoch`; nan where there is none."""
    later = curve.columns[curve.columns >= epoch]
    return float(later[0]) if len(later) else np.nan
