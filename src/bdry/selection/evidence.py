"""What claims are judged on: the tables of many runs, one below the other, and the configs behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..runs import TABLES, RunRecord
from .rule import IDENTITY, PASSED, in_words, select


@dataclass(frozen=True)
class Evidence:
    """Tables of many runs, as `select` chose their rows.

    tables: by name; what no run has may be left out. Each row begins with its run's identity and the measurement that
        it is from. configs: each experiment's resolved config, by its name. passed: what was passed over, as in
        `Selection`. failed: (data set, experiment, seed) of each run that was not finished.
    """

    tables: Mapping[str, pd.DataFrame]
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    passed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PASSED))
    failed: tuple[tuple[str, str, int], ...] = ()
    _asked: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        records: Sequence[RunRecord],
        unfinished: Sequence[RunRecord] = (),
        say: Callable[[int, int, str], None] = lambda done, total, name: None,
    ) -> Evidence:
        """The rows of all tables that count, of all runs and their finished measurements.

        Args:
            records: the runs that are judged.
            unfinished: runs that belong to the study and are not judged, because they failed or were cut short.
            say: is told, before each table, how many of how many are read, and its name.
        """
        found = {}
        for number, name in enumerate(TABLES):
            say(number, len(TABLES), name)
            found[name] = select(records, name)
        tables = {name: selection.rows for name, selection in found.items() if len(selection.rows)}
        passed = [selection.passed for selection in found.values() if len(selection.passed)]
        configs = {record.identity["experiment"]: record.config for record in records}
        names = ("dataset", "experiment", "seed")
        failed = tuple(tuple(record.identity[name] for name in names) for record in unfinished)
        return cls(
            tables, configs, pd.concat(passed, ignore_index=True) if passed else pd.DataFrame(columns=PASSED), failed
        )

    def rows(self, table: str, **where: Any) -> pd.DataFrame:
        """The rows of a table whose columns have the values `where`; a list of values stands for any of them.

        Without such rows an empty table with the table's columns.
        """
        self._asked.add(table)
        if table not in self.tables:
            return pd.DataFrame(columns=[*IDENTITY, "measurement", *TABLES[table].column_names])
        return where_columns(self.tables[table], where)

    def datasets(self) -> list[str]:
        """The data sets of all runs, in the order of the alphabet."""
        names = {name for table in self.tables.values() for name in table["dataset"].unique()}
        return sorted(names.union(dataset for dataset, *_ in self.failed))

    def networks(self) -> set[str]:
        """The architectures of all runs."""
        return {str(name) for table in self.tables.values() if "arch" in table for name in table["arch"].unique()}

    def of_dataset(self, dataset: str) -> Evidence:
        """The evidence on one data set, of which nothing was asked yet."""
        tables = {name: table[table["dataset"] == dataset] for name, table in self.tables.items()}
        configs = {name: config for name, config in self.configs.items() if config["dataset"]["name"] == dataset}
        failed = tuple(one for one in self.failed if one[0] == dataset)
        return Evidence(tables, configs, self.passed[self.passed["dataset"] == dataset], failed)

    def runs(self) -> list[tuple[str, int]]:
        """Experiment and seed of all runs that have rows, in the order of the alphabet."""
        return sorted({run for table in self.tables.values() for run in _runs_of(table).unique()})

    def of_runs(self, runs: Sequence[tuple[str, int]]) -> Evidence:
        """The evidence of some of its runs, each an experiment and a seed, of which nothing was asked yet."""
        tables = {name: table[_runs_of(table).isin([*runs]).to_numpy(bool)] for name, table in self.tables.items()}
        return replace(self, tables=tables, _asked=set())

    def unasked(self) -> Evidence:
        """The same, of which nothing was asked yet."""
        return replace(self, _asked=set())

    @property
    def unfinished(self) -> str:
        """In words, which runs of the study were not finished; empty where all were."""
        named = ", ".join(f"{experiment} seed {seed}" for _, experiment, seed in self.failed)
        return f"{len(self.failed)} runs not finished ({named})" if named else ""

    def passed_over(self) -> list[str]:
        """In words, what was passed over of the tables that were asked for."""
        return in_words(self.passed[self.passed["table"].isin(self._asked)])


def _runs_of(table: pd.DataFrame) -> pd.Series:
    runs = [*zip(table["experiment"], table["seed"], strict=True)]
    return pd.Series(runs, table.index, dtype=object)


def where_columns(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose columns have these values; a list of values stands for any of them."""
    kept = np.ones(len(rows), bool)
    for column, value in where.items():
        kept &= (rows[column].isin(value) if isinstance(value, list) else rows[column] == value).to_numpy(bool)
    return rows[kept]
