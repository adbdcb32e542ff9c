"""Statistics of ranks, for methods as for figures, from scipy, which is imported where it is needed. No torch here."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def auroc(larger: np.ndarray, smaller: np.ndarray, axis: int = -1) -> np.ndarray:
    """The area under the ROC curve: the probability that a value of `larger` is above one of `smaller`, ties half.

    It is Mann and Whitney's U over the number of pairs.

    Args:
        larger: (..., M), such as the scores of perturbed images.
        smaller: (..., N), such as those of natural ones.
        axis: along which the values are.
    """
    # here, because it is slow to import and most commands do without
    from scipy.stats import mannwhitneyu

    wins = mannwhitneyu(larger, smaller, axis=axis, method="asymptotic").statistic
    return np.asarray(wins / (larger.shape[axis] * smaller.shape[axis]))


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Spearman's rank correlation; nan with fewer than three pairs or where one of them is constant."""
    from scipy.stats import spearmanr

    if len(first) < 3 or first.nunique() < 2 or second.nunique() < 2:
        return np.nan
    return float(spearmanr(first, second).statistic)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The ends of Wilson's 95 % interval of a proportion, of `hits` among `n`; of none among none nan."""
    from scipy.stats import binomtest

    if n == 0:
        return math.nan, math.nan
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
