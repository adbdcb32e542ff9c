"""What claims are judged on: the tables of many runs, one below the other, and the configs behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..errors import RunError
from ..runs import TABLES, RunRecord

IDENTITY = ["run", "study", "dataset", "arch", "adv", "training", "seed"]


@dataclass(frozen=True)
class Evidence:
    """Tables of many runs. Each row begins with its run's identity (run, study, dataset, arch, adv, training, seed).

    tables: by name; what no run has may be left out. configs: each experiment's resolved config, by its run's name.
    """

    tables: Mapping[str, pd.DataFrame]
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[RunRecord]) -> Evidence:
        """All tables of all runs and of their finished measurements; a run's missing or damaged table is left out."""
        parts: dict[str, list[pd.DataFrame]] = {}
        for record in records:
            for name in TABLES:
                measured = record.measured(name)
                if measured is not None:
                    parts.setdefault(f"measured/{name}", []).append(measured)
                try:
                    parts.setdefault(name, []).append(record.table(name))
                except RunError:
                    continue
        tables = {name: pd.concat(found, ignore_index=True) for name, found in parts.items() if found}
        return cls(tables, {record.identity["run"]: record.config for record in records})

    def rows(self, table: str, **where: Any) -> pd.DataFrame:
        """The rows of a table whose columns have the values `where`; `measured/<table>` for those of measurements.

        A list of values stands for any of them. Without such rows an empty table with the table's columns.
        """
        if table not in self.tables:
            return pd.DataFrame(columns=[*IDENTITY, *TABLES[table.rpartition("/")[2]].column_names])
        rows = self.tables[table]
        for column, value in where.items():
            rows = rows[rows[column].isin(value) if isinstance(value, list) else rows[column] == value]
        return rows

    def datasets(self) -> list[str]:
        """The data sets of all runs, in the order of the alphabet."""
        return sorted({name for table in self.tables.values() for name in table["dataset"].unique()})

    def of_dataset(self, dataset: str) -> Evidence:
        """The evidence on one data set."""
        tables = {name: table[table["dataset"] == dataset] for name, table in self.tables.items()}
        configs = {run: config for run, config in self.configs.items() if config["dataset"]["name"] == dataset}
        return Evidence(tables, configs)
