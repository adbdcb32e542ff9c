"""Where a figure's rows and arrays come from: a run's own tables, or those of a command on the finished run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import RunError
from ...runs import TABLES, Measurement, Run, RunRecord, read_table
from ..points import IDENTITY, TRAININGS, of_study

NO_ROWS = pd.DataFrame(columns=[*IDENTITY, "series", "step"])


@dataclass(frozen=True)
class Source:
    """One run's rows of a table, its identity and `series` in front, and the folder that they and arrays are in."""

    record: RunRecord
    folder: Run | Measurement
    rows: pd.DataFrame

    @property
    def last(self) -> pd.DataFrame:
        """The rows of the last moment."""
        return self.rows[self.rows["step"] == self.rows["step"].max()]

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays `name` of the last moment, or None where there are none."""
        try:
            return self.folder.read_arrays(name, int(self.rows["step"].max()))
        except RunError:
            return None


def series_of(record: RunRecord) -> str:
    """What a legend calls a run: its activation, without which no curvature says anything, and its training."""
    training = record.identity["training"]
    activation = record.config["arch"].get("activation", record.config["arch"]["name"])
    return f"{activation}, {TRAININGS.get(training, training)}"


def last_moment_sources(records: Sequence[RunRecord], table: str) -> list[Source]:
    """The table of each main run that has it: of several measurements the one with most rows at its last moment."""
    return _sources(records, table, lambda rows: int((rows["step"] == rows["step"].max()).sum()))


def training_sources(records: Sequence[RunRecord], table: str) -> list[Source]:
    """The table of each main run that has it at several moments: of several measurements the one with most moments."""
    found = _sources(records, table, lambda rows: int(rows["step"].nunique()))
    return [source for source in found if source.rows["step"].nunique() > 1]


def last_rows(records: Sequence[RunRecord], table: str) -> pd.DataFrame:
    """The last moment's rows of all the main runs that have the table, one below the other."""
    parts = [source.last for source in last_moment_sources(records, table)]
    return pd.concat(parts, ignore_index=True) if parts else NO_ROWS


def training_rows(records: Sequence[RunRecord], table: str) -> pd.DataFrame:
    """The rows of all moments of the main runs that have several."""
    parts = [source.rows for source in training_sources(records, table)]
    return pd.concat(parts, ignore_index=True) if parts else NO_ROWS


def _sources(records: Sequence[RunRecord], table: str, size: Callable[[pd.DataFrame], int]) -> list[Source]:
    found = []
    for record in of_study(records, "main"):
        # a command draws what it measured, not what probes saw in training
        own = [] if record.chosen is not None else [record.run]
        folders: list[Run | Measurement] = [*record.measurements(), *own]
        candidates = [_read(record, folder, table) for folder in folders]
        there = [source for source in candidates if source is not None and len(source.rows)]
        if there:
            # the first of the largest: names of measurements are in order
            found.append(max(there, key=lambda source: size(source.rows)))
    return found


def _read(record: RunRecord, folder: Run | Measurement, table: str) -> Source | None:
    path = folder.table_path(table)
    if not path.exists():
        return None
    try:
        rows = read_table(path, TABLES[table])
    except RunError:
        return None
    for position, (column, value) in enumerate([*record.identity.items(), ("series", series_of(record))]):
        rows.insert(position, column, value)
    return Source(record, folder, rows)
