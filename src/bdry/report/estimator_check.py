"""What several estimators say of the same images: how often, how tight, and whether they see the same trend."""

from __future__ import annotations

import numpy as np
import pandas as pd


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each norm, box and estimator of the table `estimator_check`; the first estimator is the reference.

    Columns: norm, clipped, estimator, num_images (over all checkpoints), success_rate, mean_margin and mean_ratio (to
    the best known) over the margins found; change: of the mean margin from the first checkpoint to the last, over the
    images that both this estimator and the reference found at both; trend_agrees: whether its sign is the
    reference's on the same images. The last two are nan and None where only one checkpoint was measured.
    """
    reference = rows["estimator"].iloc[0]
    found = []
    for (norm, clipped), panel in rows.groupby(["norm", "clipped"], sort=False):
        changes = _changes(panel)
        for estimator, part in panel.groupby("estimator", sort=False):
            change, reference_change = _paired(changes, estimator, reference)
            known = np.isfinite(change) and np.isfinite(reference_change)
            found.append(
                {
                    "norm": norm,
                    "clipped": clipped,
                    "estimator": estimator,
                    "num_images": len(part),
                    "success_rate": part["margin"].notna().mean(),
                    "mean_margin": part["margin"].mean(),
                    "mean_ratio": part["ratio"].mean(),
                    "change": change,
                    "trend_agrees": bool(np.sign(change) == np.sign(reference_change)) if known else None,
                }
            )
    return pd.DataFrame(found)


def _changes(panel: pd.DataFrame) -> pd.DataFrame:
    """Change of each image's margin from the first checkpoint to the last: a column an estimator, nan where unknown."""
    margins = panel.set_index(["split", "index", "estimator", "step"])["margin"].unstack(["estimator", "step"])
    first, last = panel["step"].min(), panel["step"].max()
    names = panel["estimator"].unique()
    if first == last:
        return pd.DataFrame({name: [np.nan] for name in names})
    return pd.DataFrame({name: margins[name, last] - margins[name, first] for name in names})


def _paired(changes: pd.DataFrame, estimator: str, reference: str) -> tuple[float, float]:
    both = changes[[*dict.fromkeys([estimator, reference])]].dropna()
    return (both[estimator].mean(), both[reference].mean()) if len(both) else (np.nan, np.nan)
