"""The results table: a row an experiment, seeds averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import RunError
from ..runs import RunRecord


def results(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Accuracy and test margins of each experiment: mean over its seeds.

    Columns: run, dataset, arch, adv, num_seeds, epochs, test_accuracy, robust_accuracy, and for each norm the mean
    test margin at initialisation, at its peak over training and at the end (`l2_init`, `l2_peak`, `l2_last`, ...),
    in pixel units of [0, 1].
    """
    rows = [row for record in records if (row := _one(record)) is not None]
    if not rows:
        return pd.DataFrame()
    every = pd.DataFrame(rows)
    keys = ["run", "dataset", "arch", "adv"]
    averaged = every.groupby(keys, sort=True).mean(numeric_only=True).drop(columns="seed").reset_index()
    counts = every.groupby(keys, sort=True)["seed"].nunique().to_numpy()
    averaged.insert(len(keys), "num_seeds", counts)
    return averaged


def _one(record: RunRecord) -> dict[str, object] | None:
    try:
        history = record.table("history")
    except RunError:
        return None
    if history.empty:
        return None
    last = history.iloc[-1]
    row: dict[str, object] = {
        **record.identity,
        "epochs": last["epoch"],
        "test_accuracy": last["test_accuracy"],
        "robust_accuracy": last["robust_accuracy"],
    }
    try:
        summary = record.table("margin_summary")
    except RunError:
        return row
    clipped = bool(summary["clipped"].all())
    chosen = summary[(summary["split"] == "test") & (summary["subset"] == "all") & (summary["clipped"] == clipped)]
    for norm, curve in chosen.groupby("norm"):
        means = curve.sort_values("step")["mean"].to_numpy()
        row |= {f"{norm}_init": means[0], f"{norm}_peak": np.nanmax(means), f"{norm}_last": means[-1]}
    return row
