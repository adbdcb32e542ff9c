"""Many runs as one: finding their folders, reading one table of all of them."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunError, UsageError
from .csvfile import read_table
from .folder import Run
from .measurement import FOLDER as MEASUREMENTS
from .tables import TABLES


@dataclass(frozen=True)
class RunRecord:
    """A run found on disk: its folder, its resolved config and its state."""

    run: Run
    config: dict[str, Any]
    state: str

    @property
    def identity(self) -> dict[str, Any]:
        """The columns that tell its rows from other runs'."""
        return {
            "run": self.run.path.parent.name,
            "dataset": self.config["dataset"]["name"],
            "arch": self.config["arch"]["name"],
            "adv": self.config["adv"]["name"],
            "seed": self.config["seed"],
        }

    def table(self, name: str) -> pd.DataFrame:
        """One table of the run, its identity in front."""
        rows = read_table(self.run.table_path(name), TABLES[name])
        for position, (column, value) in enumerate(self.identity.items()):
            rows.insert(position, column, value)
        return rows


def find_runs(places: Iterable[str]) -> tuple[list[RunRecord], list[str]]:
    """The runs below `places` (run folders, folders of runs, globs), and why others were skipped.

    Runs come in the order of their paths. Raises `UsageError` where a place does not exist or holds no run.
    """
    folders: set[Path] = set()
    for place in places:
        matches = [Path(match) for match in glob.glob(str(Path(place).expanduser()))]
        found = {config.parent for match in matches for config in _configs(match)}
        if not found:
            raise UsageError(f"runs={place}: " + ("no run below it" if matches else "no such folder"))
        folders |= found
    records, skipped = [], []
    for folder in sorted(folders):
        run = Run(folder)
        try:
            record = RunRecord(run, run.read_config(), str(run.status().get("state", "unknown")))
            _ = record.identity
            records.append(record)
        except RunError as error:
            skipped.append(str(error))
        except (KeyError, TypeError):
            skipped.append(f"{run.config_path}: not the config of a run")
    return records, skipped


def _configs(place: Path) -> Iterable[Path]:
    if (place / "config.yaml").is_file():
        return [place / "config.yaml"]
    # a measurement has a config.yaml as well, but is no run
    return (path for path in place.rglob("config.yaml") if path.parents[1].name != MEASUREMENTS)
