"""What claims are judged on: the tables of many runs, one below the other, and the configs behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from ..runs import TABLES, RunRecord
from .rule import IDENTITY, PASSED, in_words, select


@dataclass(frozen=True)
class Evidence:
    """Tables of many runs, as `select` chose their rows.

    tables: by name; what no run has may be left out. Each row begins with its run's identity and the measurement that
        it is from. configs: each experiment's resolved config, by its name. passed: what was passed over, as in
        `Selection`.
    """

    tables: Mapping[str, pd.DataFrame]
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    passed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PASSED))
    _asked: set[str] = field(default_factory=set)
    _left_out: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, records: Sequence[RunRecord]) -> Evidence:
        """The rows of all tables that count, of all runs and their finished measurements."""
        found = {name: select(records, name) for name in TABLES}
        tables = {name: selection.rows for name, selection in found.items() if len(selection.rows)}
        passed = [selection.passed for selection in found.values() if len(selection.passed)]
        configs = {record.identity["experiment"]: record.config for record in records}
        return cls(tables, configs, pd.concat(passed, ignore_index=True) if passed else pd.DataFrame(columns=PASSED))

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
        return sorted({name for table in self.tables.values() for name in table["dataset"].unique()})

    def of_dataset(self, dataset: str | None) -> Evidence:
        """The evidence on one data set, or on all, of which nothing was asked yet."""
        if dataset is None:
            return replace(self, _asked=set(), _left_out=[])
        tables = {name: table[table["dataset"] == dataset] for name, table in self.tables.items()}
        configs = {name: config for name, config in self.configs.items() if config["dataset"]["name"] == dataset}
        return Evidence(tables, configs, self.passed[self.passed["dataset"] == dataset])

    def leave_out(self, what: str) -> None:
        """Notes that a rule leaves something out that was measured."""
        self._left_out.append(what)

    def passed_over(self) -> list[str]:
        """In words, what was passed over of the tables that were asked for, and what rules left out."""
        return [*in_words(self.passed[self.passed["table"].isin(self._asked)]), *dict.fromkeys(self._left_out)]


def where_columns(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose columns have these values; a list of values stands for any of them."""
    for column, value in where.items():
        rows = rows[rows[column].isin(value) if isinstance(value, list) else rows[column] == value]
    return rows
