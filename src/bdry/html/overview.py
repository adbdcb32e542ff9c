"""The tables of runs: a row an experiment, its seeds summed up, and a row a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.api.types import is_number

NAMES = {"dataset": "data set", "arch": "architecture", "training": "training", "study": "study"}
# column of the inventory -> heading and format
NUMBERS = {
    "epochs_done": ("epochs", "{:g}"),
    "test_accuracy": ("accuracy", "{:.1%}"),
    "robust_accuracy": ("robust accuracy", "{:.1%}"),
    "l2_median": ("l2 margin", "{:.3g}"),
    "linf_median": ("linf margin", "{:.3g}"),
}


@dataclass(frozen=True)
class Cell:
    """What a table shows, the number that it is sorted by, where it is one, and the range of what it is the mean of."""

    text: str
    value: float | None = None
    range: str = ""


@dataclass(frozen=True)
class Rows:
    """A table: its name, headings (and whether a column is of numbers), rows of as many cells."""

    name: str
    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]


def experiments(inventory: pd.DataFrame) -> Rows:
    """A row each experiment and study: numbers are means over seeds, smallest and largest in brackets."""
    numbers = _measured(inventory)
    rows = []
    for _, part in inventory.groupby([*NAMES, "experiment"], sort=True):
        first = part.iloc[0]
        seeds = ", ".join(str(seed) for seed in sorted(part["seed"]))
        # one of them alone would be read as how many there are
        seeds = seeds if len(part) > 1 else f"seed {seeds}"
        counts = part["state"].value_counts()
        state = counts.index[0] if len(counts) == 1 else ", ".join(f"{count} {name}" for name, count in counts.items())
        means = [_over_seeds(part[column], form) for column, (_, form) in numbers.items()]
        rows.append(
            [*(Cell(first[name]) for name in NAMES), Cell(seeds), Cell(state), *means, Cell(first["experiment"])]
        )
    return Rows("experiments", _headings("seeds", numbers), rows)


def single_runs(inventory: pd.DataFrame) -> Rows:
    """A row each run."""
    numbers = _measured(inventory)
    rows = []
    for run in inventory.to_dict("records"):
        found = [_number(run[column], form) for column, (_, form) in numbers.items()]
        names = [Cell(run[name]) for name in NAMES]
        rows.append([*names, _number(run["seed"], "{}"), Cell(run["state"]), *found, Cell(run["experiment"])])
    return Rows("runs", _headings("seed", numbers), rows)


def _measured(inventory: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Of `NUMBERS` those that at least one run has."""
    return {column: about for column, about in NUMBERS.items() if inventory[column].notna().any()}


def _headings(seed: str, numbers: dict[str, tuple[str, str]]) -> list[tuple[str, bool]]:
    names = [(heading, False) for heading in NAMES.values()]
    measured = [(heading, True) for heading, _ in numbers.values()]
    return [*names, (seed, seed == "seed"), ("state", False), *measured, ("experiment", False)]


def _over_seeds(column: pd.Series, form: str) -> Cell:
    found = pd.to_numeric(column, errors="coerce").dropna()
    if found.empty:
        return Cell("–")
    low, mean, high = (form.format(value) for value in (found.min(), found.mean(), found.max()))
    return Cell(mean, float(found.mean()), "" if low == high else f"[{low}, {high}]")


def _number(value: Any, form: str) -> Cell:
    if not is_number(value):
        return Cell(str(value))
    return Cell("–") if pd.isna(value) else Cell(form.format(value), float(value))
