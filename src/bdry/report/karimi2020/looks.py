"""What the figures of karimi2020 draw from: a run's tables and arrays, of `bdry deepdig` or of the probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...errors import RunError
from ...runs import ARRAYS, TABLES, Measurement, Run, RunRecord, read_table
from ...runs.closest import closest
from ...runs.files import file_name
from ..captions import describe_runs
from ..points import EXPERIMENT
from ..style import save

METHODS = ("deepdig", "real_ae1", "margin_bisect", "epbs", "epbs_as_coded", "rpbs")
METHOD_LABELS = {
    "deepdig": "DeepDIG",
    "real_ae1": "image, AE1",
    "margin_bisect": "margin estimator",
    "epbs": "EPBS",
    "epbs_as_coded": "EPBS as coded",
    "rpbs": "RPBS",
}
PAIR = ["source", "target"]
# what makes a row of a table the same measured again
UNITS = {
    "generation": [*PAIR, "method", "alpha"],
    "idc": [*PAIR, "method", "alpha", "grid"],
    "bisection": [*PAIR, "method", "attempt"],
    "edc": [*PAIR, "plane", "split"],
    "ae": [*PAIR, "alpha", "stage"],
}


@dataclass(frozen=True)
class Look:
    """One measurement of one run, at its last moment; `folder` is the measurement's, or the run's with the probe."""

    record: RunRecord
    folder: Measurement | Run
    step: int

    def table(self, name: str) -> pd.DataFrame:
        """The rows of the last moment, the run's identity in front."""
        rows = read_table(self.folder.table_path(name), TABLES[name])
        rows = rows[rows["step"] == self.step].assign(measurement=self.folder.path.name, **self.record.identity)
        return rows.reset_index(drop=True)

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """The array file `pictures`; empty where nothing was looked at closely."""
        return self._arrays("pictures")

    @property
    def borderline(self) -> dict[str, np.ndarray]:
        """The array file `borderline`."""
        return self._arrays("borderline")

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        try:
            return self.folder.read_arrays(name, self.step)
        except RunError:
            return {}

    @property
    def settings(self) -> dict[str, Any]:
        """How it was measured."""
        config = self.folder.read_config()
        return config if isinstance(self.folder, Measurement) else config["probe"]["deepdig"]

    @property
    def title(self) -> str:
        """Data set and architecture."""
        return f"{self.record.identity['dataset']}, {self.record.identity['arch']}"


def looks(records: Sequence[RunRecord]) -> list[Look]:
    """All measurements of the runs that have the table `generation`."""
    found = []
    for record in records:
        places: list[Run | Measurement] = [*record.measurements()]
        if record.chosen is None:
            places.append(record.run)
        for folder in places:
            try:
                rows = read_table(folder.table_path("generation"), TABLES["generation"])
            except RunError:
                continue
            if len(rows):
                found.append(Look(record, folder, int(rows["step"].max())))
    return found


def closest_looks(records: Sequence[RunRecord]) -> list[Look]:
    """For each data set and architecture the look with pictures of the smallest seed, with the fewest pairs."""
    best: dict[str, tuple[Any, Look]] = {}
    for look in looks(records):
        if look.folder.arrays_path("pictures", look.step).exists():
            rank = (look.record.identity["seed"], len(look.table("generation")), look.folder.path.name)
            if look.title not in best or rank < best[look.title][0]:
                best[look.title] = (rank, look)
    return [look for _, (_, look) in sorted(best.items())]


def rows_of(records: Sequence[RunRecord], name: str) -> pd.DataFrame:
    """One table of all looks, each unit of a run once: see `runs.closest`."""
    parts = [look.table(name) for look in looks(records) if look.folder.table_path(name).exists()]
    if not parts:
        kinds = {column.name: column.kind for column in TABLES[name].columns}
        return pd.DataFrame(columns=[*EXPERIMENT, "seed", "measurement", *kinds])
    return closest(pd.concat(parts, ignore_index=True), UNITS[name], PAIR)


def main_alpha(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run, pair and method the rows of the alpha that the measurement is about: the one with every method.

    That is the alpha of `real_ae1`, or the most frequent one of deepdig; methods without training have none.
    """
    if rows.empty:
        return rows
    parts = []
    for _, part in rows.groupby(["run", "seed"], sort=False):
        trained = part["alpha"].dropna()
        own = part.loc[part["method"] == "real_ae1", "alpha"].dropna()
        chosen = own if len(own) else trained
        main = chosen.mode().iloc[0] if len(chosen) else np.nan
        parts.append(part[part["alpha"].isna() | (part["alpha"] == main)])
    return pd.concat(parts, ignore_index=True)


def detailed_pairs(look: Look) -> list[tuple[int, int]]:
    """The ordered pairs that a look has pictures of, in its order."""
    shown = ARRAYS["pictures"].fields("strips {source}-{target} image", look.pictures)
    return [(int(fields["source"]), int(fields["target"])) for fields in shown]


def arrow(source: float, target: float) -> str:
    """A direction as titles have it."""
    return f"{source:.0f}→{target:.0f}"


def experiments(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(data set, architecture) as a title, with its rows."""
    return [(", ".join(names), part) for names, part in rows.groupby(["dataset", "arch"], sort=True)]


def keep(
    name: str, title: str, figure: Figure, drawn: pd.DataFrame, records: Sequence[RunRecord], folder: Path, what: str
) -> list[Path]:
    """Saves a figure of one data set and architecture with what it draws and its caption; the files written."""
    chosen = [record for record in records if record.identity["run"] in set(drawn["run"])]
    lines = [f"**{name}: {title}.** {what}", "", *describe_runs(chosen)]
    return save(figure, drawn, folder / file_name(name, *title.split(", ")), "\n".join(lines) + "\n")
