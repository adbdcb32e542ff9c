"""What claims are judged on: the tables of many runs, one below the other, and the configs behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import one_line
from ..runs import TABLES, RunRecord
from ..runs.differences import differing, settings
from .rule import IDENTITY, PASSED, in_words, select

# of the keys in which an experiment differs from the one that counts, those that are named
MOST_NAMED = 3


@dataclass(frozen=True)
class Cell:
    """Whose rows a rule takes together: runs of one data set that have the same values in `columns` of `IDENTITY`.

    studies: the studies whose runs are in cells; none named: all.
    """

    columns: tuple[str, ...]
    studies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Tables of many runs, as `select` chose their rows.

    tables: by name; what no run has may be left out. Each row begins with its run's identity and the measurement that
        it is from. configs: each experiment's resolved config, by its name. passed: what was passed over, as in
        `Selection`. failed: (data set, experiment, seed) of each run that was not finished. finished: when an
        experiment's first run was, as a text that sorts by time.
    """

    tables: Mapping[str, pd.DataFrame]
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    passed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PASSED))
    failed: tuple[tuple[str, str, int], ...] = ()
    finished: Mapping[str, str] = field(default_factory=dict)
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
        passed = [selection.passed for selection in found.values()]
        configs = {record.identity["experiment"]: record.config for record in records}
        names = ("dataset", "experiment", "seed")
        failed = tuple(tuple(record.identity[name] for name in names) for record in unfinished)
        finished: dict[str, str] = {}
        for record in records:
            ended = str(record.run.status().get("updated", ""))
            finished[record.run.experiment] = min(finished.get(record.run.experiment, ended), ended)
        return cls(tables, configs, _together(passed), failed, finished)

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
        return Evidence(tables, configs, self.passed[self.passed["dataset"] == dataset], failed, self.finished)

    def of_one_experiment(self, cell: Cell) -> tuple[Evidence, dict[str, str]]:
        """The evidence of one experiment in each cell, for rules that take all rows of a cell together.

        Seeds of one experiment may be pooled, experiments may not, since they were trained otherwise. The main study
        and standard training come first, where a cell has others. Then that experiment counts which has most seeds,
        together with those that differ from it in the adversary alone; of equally many the one that was finished
        first.

        Args:
            cell: what the rules take together.

        Returns:
            the evidence, with the others among what was passed over; and of each of them the reason.
        """
        columns = [*dict.fromkeys(["experiment", "dataset", *cell.columns, "study", "training", "seed"])]
        parts = [table[columns] for table in self.tables.values()]
        runs = pd.concat(parts or [pd.DataFrame(columns=columns)]).drop_duplicates()
        runs = runs[runs["study"].isin(cell.studies)] if cell.studies else runs
        runs = runs.assign(family=[self._family(row.experiment, row.study) for row in runs.itertuples()])
        num_seeds = runs.groupby("experiment")["seed"].nunique()
        of_family = runs.drop_duplicates(["family", "experiment", "seed"]).groupby("family").size()
        reasons: dict[str, str] = {}
        for _, found in runs.groupby(["dataset", *cell.columns], sort=False):
            ranked = sorted(
                found.drop_duplicates("experiment").itertuples(),
                key=lambda row: (
                    row.study != "main",
                    row.training != "standard",
                    -of_family[row.family],
                    -num_seeds[row.experiment],
                    self.finished.get(row.experiment, ""),
                    row.experiment,
                ),
            )
            first = str(ranked[0].experiment)
            reasons |= {str(row.experiment): self._reason(str(row.experiment), first) for row in ranked[1:]}
        if not reasons:
            return self, reasons
        tables, passed = {}, [self.passed]
        about = ["experiment", "seed", "dataset", "measurement"]
        for name, table in self.tables.items():
            dropped = table["experiment"].isin(reasons)
            tables[name] = table[~dropped]
            lost = table[dropped].groupby(about, as_index=False).size().rename(columns={"size": "num_rows"})
            passed.append(lost.assign(table=name, reason=lost["experiment"].map(reasons))[PASSED])
        configs = {name: config for name, config in self.configs.items() if name not in reasons}
        return replace(self, tables=tables, configs=configs, passed=_together(passed), _asked=set()), reasons

    def _family(self, experiment: str, study: str) -> str:
        """What experiments have in common that differ in the adversary alone."""
        config = settings(self.configs.get(experiment, {}))
        own = {key: value for key, value in config.items() if not key.startswith("adv.")}
        return repr((study, sorted(own.items()) if own else experiment))

    def _reason(self, experiment: str, first: str) -> str:
        """Why an experiment does not count beside the one that does."""
        both = [self.configs.get(name, {}) for name in (experiment, first)]
        own, other = map(settings, both)
        keys = differing(both)
        named = [f"{key} {one_line(own.get(key))}, not {one_line(other.get(key))}" for key in keys[:MOST_NAMED]]
        more = [f"and {len(keys) - MOST_NAMED} further keys"] if len(keys) > MOST_NAMED else []
        return f"verdicts are on {first}" + (f": {', '.join([*named, *more])}" if keys else "")

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


def _together(passed: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of what was passed over, one below the other."""
    parts = [part for part in passed if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PASSED)


def _runs_of(table: pd.DataFrame) -> pd.Series:
    runs = [*zip(table["experiment"], table["seed"], strict=True)]
    return pd.Series(runs, table.index, dtype=object)


def where_columns(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose columns have these values; a list of values stands for any of them."""
    kept = np.ones(len(rows), bool)
    for column, value in where.items():
        kept &= (rows[column].isin(value) if isinstance(value, list) else rows[column] == value).to_numpy(bool)
    return rows[kept]
