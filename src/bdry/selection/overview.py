"""Runs at a glance: a row a run with how far it is and how well it does, and a row an experiment, seeds averaged."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..runs import RunRecord, find_runs
from ..runs.differences import flattened
from .rule import main_margins, select

COLUMNS = (
    "experiment",
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
MEASURED = ("test_accuracy", "robust_accuracy", "l2_median", "linf_median")


def load_runs(*places: str | Path, unfinished: bool = False) -> pd.DataFrame:
    """Runs as a table, a row a run: what `bdry runs` lists, and every key of the configs.

    Columns: `COLUMNS` as in `inventory` (experiment, seed, ..., test_accuracy, l2_median, linf_median, path), then each
    config key by its dotted name, such as `optim.lr`; None in runs that have no such key. A run that cannot be read, or
    is not finished, or is there twice, is left out with a warning that says why.

    Args:
        places: run folders, folders of runs, globs; none: `outputs`.
        unfinished: whether runs that were cut short, or still run, are among them.

    Raises:
        UsageError: a place does not exist, or holds no run.
    """
    records, skipped = find_runs([str(place) for place in places or ("outputs",)], unfinished=unfinished)
    for reason in skipped:
        warnings.warn(f"skipped: {reason}", stacklevel=2)
    return with_config(records).infer_objects()


def with_config(records: Sequence[RunRecord], damaged: list[str] | None = None) -> pd.DataFrame:
    """The inventory, then a column for every key of these runs' configs, by its dotted name.

    Values are as the configs have them, None where one has no such key. A key that is called as a column of the
    inventory is that column. `damaged` is as in `inventory`.
    """
    rows = inventory(records, damaged)
    flat = [flattened(record.config) for record in records]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key not in rows]
    config = {key: pd.Series([one.get(key) for one in flat], dtype=object) for key in keys}
    return pd.concat([rows, pd.DataFrame(config, index=rows.index)], axis=1)


def inventory(records: Sequence[RunRecord], damaged: list[str] | None = None) -> pd.DataFrame:
    """A row a run with the columns `COLUMNS`; what is not there yet is nan.

    epochs_done: of the last row of the table history. l2_median, linf_median: of the test images' margins in R^d at the
    last moment measured (inside the box where only that was), in pixel units of [0, 1].

    Args:
        records: the runs.
        damaged: gets a line for each run whose history cannot be read.
    """
    return pd.DataFrame([_row(record, [] if damaged is None else damaged) for record in records], columns=list(COLUMNS))


def _row(record: RunRecord, damaged: list[str]) -> dict[str, Any]:
    row = {**record.identity, "state": record.state, "path": str(record.run.path)}
    epochs = record.config.get("training", {}).get("epochs")
    row["epochs"] = epochs if type(epochs) is int else None
    return row | _accuracies(record, damaged) | _margins(record)


def results(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Accuracy and test margins of each experiment: mean over its seeds.

    Columns: experiment, dataset, arch, adv, num_seeds, epochs, test_accuracy, robust_accuracy, and for each norm the
    mean test margin at initialisation, at its peak over training and at the end (`l2_init`, `l2_peak`, `l2_last`, ...),
    in pixel units of [0, 1].
    """
    rows = [row for record in records if len(row := _over_training(record))]
    if not rows:
        return pd.DataFrame()
    every = pd.DataFrame(rows)
    keys = ["experiment", "dataset", "arch", "adv"]
    averaged = every.groupby(keys, sort=True).mean(numeric_only=True).drop(columns="seed").reset_index()
    counts = every.groupby(keys, sort=True)["seed"].nunique().to_numpy()
    averaged.insert(len(keys), "num_seeds", counts)
    return averaged


def _over_training(record: RunRecord) -> dict[str, Any]:
    accuracies = _accuracies(record, [])
    if not accuracies:
        return {}
    row = {**record.identity, "epochs": accuracies.pop("epochs_done"), **accuracies}
    for norm, curve in _test_margins(record).groupby("norm"):
        means = curve.sort_values("step")["mean"].to_numpy()
        # of pandas, whose maximum of none is nan without a warning
        row |= {f"{norm}_init": means[0], f"{norm}_peak": curve["mean"].max(), f"{norm}_last": means[-1]}
    return row


def _accuracies(record: RunRecord, damaged: list[str]) -> dict[str, Any]:
    selected = select([record], "history")
    history = selected.rows
    # a run has one history, which no other measurement outranks
    damaged += selected.passed["reason"].tolist()
    if history.empty:
        return {}
    last = history.iloc[-1]
    return {
        "epochs_done": last["epoch"],
        "test_accuracy": last["test_accuracy"],
        "robust_accuracy": last["robust_accuracy"],
    }


def _margins(record: RunRecord) -> dict[str, Any]:
    chosen = _test_margins(record)
    last = chosen[chosen["step"] == chosen["step"].max()]
    return {f"{row.norm}_median": row.median for row in last.itertuples()}


def _test_margins(record: RunRecord) -> pd.DataFrame:
    """The main rows of `margin_summary` of all test images."""
    summary = select([record], "margin_summary").rows
    return main_margins(summary[(summary["split"] == "test") & (summary["subset"] == "all")])
