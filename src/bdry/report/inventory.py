"""The list of runs: a row a run, with how far it is, how well it does, and its margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..errors import RunError
from ..runs import RunRecord

COLUMNS = (
    "run",
    "seed",
    "study",
    "dataset",
    "arch",
    "adv",
    "training",
    "state",
    "epochs_done",
    "epochs",
    "test_accuracy",
    "robust_accuracy",
    "l2_median",
    "linf_median",
    "path",
)


def inventory(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run with the columns `COLUMNS`; what is not there yet is nan.

    epochs_done: of the last row of the table history. l2_median, linf_median: of the test images' margins in R^d at the
    last moment measured (inside the box where only that was), in pixel units of [0, 1].
    """
    return pd.DataFrame([_row(record) for record in records], columns=list(COLUMNS))


def _row(record: RunRecord) -> dict[str, Any]:
    row = {**record.identity, "state": record.state, "path": str(record.run.path)}
    epochs = record.config.get("training", {}).get("epochs")
    row["epochs"] = epochs if type(epochs) is int else None
    return row | _accuracies(record) | _margins(record)


def _accuracies(record: RunRecord) -> dict[str, Any]:
    try:
        history = record.table("history")
    except RunError:
        return {}
    if history.empty:
        return {}
    last = history.iloc[-1]
    return {
        "epochs_done": last["epoch"],
        "test_accuracy": last["test_accuracy"],
        "robust_accuracy": last["robust_accuracy"],
    }


def _margins(record: RunRecord) -> dict[str, Any]:
    try:
        summary = record.table("margin_summary")
    except RunError:
        return {}
    chosen = summary[(summary["split"] == "test") & (summary["subset"] == "all")]
    if chosen.empty:
        return {}
    chosen = chosen[(chosen["clipped"] == chosen["clipped"].all()) & (chosen["step"] == chosen["step"].max())]
    return {f"{row.norm}_median": row.median for row in chosen.itertuples()}
