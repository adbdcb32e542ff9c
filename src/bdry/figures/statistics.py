"""Statistics that several figures and tables have in common, from scipy, which is imported where it is needed."""

from __future__ import annotations

import numpy as np
import pandas as pd


def auroc(larger: np.ndarray, smaller: np.ndarray) -> float:
    """Probability that a value of `smaller` is below one of `larger`, ties half: Mann and Whitney's U / pairs."""
    # here, because it is slow to import and most commands do without
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(larger, smaller).statistic) / (len(larger) * len(smaller))


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Spearman's rank correlation; nan with fewer than three pairs or where one of them is constant."""
    from scipy.stats import spearmanr

    if len(first) < 3 or first.nunique() < 2 or second.nunique() < 2:
        return np.nan
    return float(spearmanr(first, second).statistic)
