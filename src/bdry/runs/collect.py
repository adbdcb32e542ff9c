"""Many runs as one: finding their folders, reading one table of all of them."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunError, UsageError, one_line, show_value
from ..names import LONGEST_NAME, harmless
from .differences import differing, settings
from .files import below
from .folder import Measurement, Run, arch_name, check_version
from .owned import CONFIGS
from .packed import MEASUREMENTS, packed_measurements

# of a run's config: groups of keys
NODES = ("dataset", "arch", "adv", "optim", "margin", "probe", "training")


@dataclass(frozen=True)
class RunRecord:
    """A run found on disk: its folder, its resolved config and its state."""

    run: Run
    config: dict[str, Any]
    state: str
    chosen: Measurement | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The columns that tell its rows from other runs'.

        experiment: the config without its seed, `<dataset>-<arch>-<adv>-<hash8>`.
        training: `standard`, or the adversary and its norm, as in `pgd linf`. study: the config's label, else `main`.
        """
        adv = self.config["adv"]
        return {
            "experiment": self.run.experiment,
            "study": self.config.get("study") or "main",
            "dataset": self.config["dataset"]["name"],
            "arch": arch_name(self.config["arch"]),
            "adv": adv["name"],
            "training": "standard" if adv["name"] == "none" else f"{adv['name']} {adv.get('norm', '')}".strip(),
            "seed": self.config["seed"],
        }

    def table(self, name: str) -> pd.DataFrame:
        """One table of the run, its identity in front; raises `RunError` where it is missing or does not fit."""
        return self._identified(self.run.table(name))

    def measurements(self, *, unfinished: bool = False) -> list[Measurement]:
        """The run's finished measurements, with `unfinished` all, in the order of their names; or the chosen one."""
        if self.chosen is not None:
            return [self.chosen]
        places = {path.parent for name in CONFIGS for path in (self.run.path / MEASUREMENTS).glob(f"*/{name}")}
        folders = [Measurement(place) for place in sorted(places.union(packed_measurements(self.run.path)))]
        return [folder for folder in folders if unfinished or _is_finished(folder)]

    def only(self, measurement: Measurement) -> RunRecord:
        """The same run with this one of its measurements, which may still be going on."""
        return replace(self, chosen=measurement)

    def _identified(self, rows: pd.DataFrame) -> pd.DataFrame:
        for position, (column, value) in enumerate(self.identity.items()):
            rows.insert(position, column, value)
        return rows


def _is_finished(folder: Measurement) -> bool:
    """One whose status is damaged counts as not finished."""
    try:
        return folder.finished
    except RunError:
        return False


def find_runs(
    places: Iterable[str], *, unfinished: bool = False, copies: bool = False
) -> tuple[list[RunRecord], list[str]]:
    """The finished runs below `places` (run folders, folders of runs, globs), and why others were skipped.

    Runs come in the order of their paths. An experiment's seed is one run: of several folders that have it, as a copy
    of `outputs` beside it, the one that is finished and has most measurements is taken.

    Args:
        places: where to look.
        unfinished: runs cut short or still running are among them.
        copies: every folder is taken.

    Raises:
        UsageError: a place does not exist or holds no run.
    """
    folders: set[Path] = set()
    for place in places:
        if not place.strip():
            raise UsageError("runs='': an empty name; . is this folder")
        named = Path(place).expanduser()
        # a folder's name may look like a pattern
        matches = [named] if named.exists() else [Path(match) for match in glob.glob(str(named))]
        found = {folder for match in matches for folder in _folders(match)}
        if not found:
            raise UsageError(f"runs={place}: " + ("no run below it" if matches else "no such folder"))
        folders |= found
    records, skipped = [], []
    for folder in sorted(folders):
        try:
            records.append(_record(Run(folder), unfinished))
        except RunError as error:
            skipped.append(one_line(error))
    records, skipped = _of_one_experiment(records, skipped)
    return (records, skipped) if copies else _once(records, skipped)


def _of_one_experiment(records: list[RunRecord], skipped: list[str]) -> tuple[list[RunRecord], list[str]]:
    """Without runs of different experiments that were moved into one folder, whose name says which they are of."""
    configs: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        configs.setdefault(record.run.experiment, []).append(record.config)
    differences = {experiment: _difference(of_runs) for experiment, of_runs in configs.items()}
    for record in records:
        if difference := differences[record.run.experiment]:
            skipped.append(
                f"{record.run.path}: the runs of {record.run.experiment} differ in {difference}; "
                "a folder has the seeds of one experiment, under its own name"
            )
    return [record for record in records if not differences[record.run.experiment]], skipped


def _difference(configs: list[dict[str, Any]]) -> str:
    """The first setting in which runs differ, and its values; "" where they are of one experiment."""
    # other keys decide no results, as a note that somebody added
    keys = [key for key in differing(configs) if key.partition(".")[0] in NODES]
    if not keys:
        return ""
    values = sorted({show_value(settings(config).get(keys[0])) for config in configs})
    return one_line(f"{keys[0]} ({', '.join(values)})")


def _once(records: list[RunRecord], skipped: list[str]) -> tuple[list[RunRecord], list[str]]:
    """Each experiment's seed from one folder: its images would count twice."""
    taken: dict[tuple[str, int], RunRecord] = {}
    for record in sorted(records, key=lambda one: (one.state != "finished", -len(one.measurements()))):
        run = (record.run.experiment, record.config["seed"])
        first = taken.setdefault(run, record)
        if first is not record:
            skipped.append(f"{record.run.path}: seed {run[1]} of {run[0]} is taken from {first.run.path}")
    chosen = {record.run.path for record in taken.values()}
    return [record for record in records if record.run.path in chosen], skipped


def find_unfinished(places: Iterable[str], records: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs below `places` that can be read and are not among `records`, because they failed or were cut short."""
    taken = {record.run.path for record in records}
    return [record for record in find_runs(places, unfinished=True)[0] if record.run.path not in taken]


def _record(run: Run, unfinished: bool) -> RunRecord:
    config, status = run.read_config(), run.status()
    record = RunRecord(run, config, run.state())
    check_version(config.get("schema"), run)
    if any(run.path.glob("tables/*.csv.xz")):
        raise RunError(f"{run.path}: published by an earlier version of bdry; publish its study anew")
    _check_identity(record)
    if record.state != "finished" and not unfinished:
        how_far = f"{record.state} at step {status.get('step', 0)} of {status.get('total_steps', 'unknown')}"
        raise RunError(f"{run.path}: not finished ({how_far}); the command that made it goes on")
    return record


def _check_identity(record: RunRecord) -> None:
    """Raises `RunError` for what is no run's config, and for names that a terminal or a spreadsheet would obey."""
    nodes = [record.config.get(group, {}) for group in NODES]
    try:
        identity = record.identity
        seed = identity["seed"]
        # of pandas' integers
        is_a_run = all(isinstance(node, dict) for node in nodes) and type(seed) is int and 0 <= seed < 2**63
    except (KeyError, TypeError, AttributeError):
        is_a_run = False
    if not is_a_run:
        raise RunError(f"{record.run.config_path}: not the config of a run")
    for name, value in identity.items():
        # a folder's name cannot be endless
        if name != "seed" and (not harmless(value) or (name != "experiment" and len(value) > LONGEST_NAME)):
            shown = f"{value!r}"
            cut = f"{shown[:LONGEST_NAME]}..." if len(shown) > LONGEST_NAME else shown
            raise RunError(f"{record.run.config_path}: not a name: {name}={cut}")


def _folders(place: Path) -> Iterable[Path]:
    """The folders of runs in a place, which have a config, published or not."""
    if any((place / name).is_file() for name in CONFIGS):
        return [place]
    # a measurement has a config as well, but is no run
    return (path.parent for path in below(place) if path.name in CONFIGS and path.parents[1].name != MEASUREMENTS)
