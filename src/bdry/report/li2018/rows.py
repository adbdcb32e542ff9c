"""What the figures of li2018 draw from: tables and arrays of `probe=[svm]` and of `bdry svm`, and how they are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...errors import RunError
from ...runs import Measurement, Run, RunRecord
from ...runs.arrays import steps_of
from ...runs.files import file_name
from ..captions import describe_runs
from ..points import EXPERIMENT
from ..style import COLOURS, save

PLACE = ["dataset", "study", "run"]
# what makes a row of a table the same measured again
UNITS = {
    "svm_convergence": ["step", "stage", "fresh", "rescaled", "stage_step", "variant"],
    "svm_bias": ["step", "stage", "fresh", "rescaled", "stage_step", "class_i", "class_j"],
}
STAGES = {
    "whole": "whole network",
    "last_only": "last layer only",
    "last_only_loss_scaled": "last layer only, loss-scaled",
    "accelerated": "last layer only, accelerated",
}
STAGE_LINES: dict[str, Any] = {
    "whole": "-",
    "last_only": (0, (1, 1.2)),
    "last_only_loss_scaled": (0, (5, 1.5)),
    "accelerated": "-.",
}
# the variants in order, and their colours
VARIANTS = ("S1", "S3", "S2", "OvR", "SVC", "hard OvR", "soft S1")
LABELS = {
    "S1": "S1 (bias penalised)",
    "S3": "S3 (bias free)",
    "S2": "S2 (no bias)",
    "OvR": "one-vs-rest (the paper's)",
    "SVC": "SVC (the paper's)",
    "hard OvR": "hard one-vs-rest",
    "soft S1": "S1 with slack",
}


def colour(variant: str) -> str:
    """One colour a variant; the paper's two comparators share theirs."""
    return COLOURS[{"OvR": 1, "SVC": 1, "S1": 0, "S3": 2, "S2": 3, "soft S1": 5}.get(variant, 4)]


def svm_rows(records: Sequence[RunRecord], name: str) -> pd.DataFrame:
    """A table of the probe and of `bdry svm`, one row for each thing measured; no rows and columns without any."""
    parts = []
    for record in records:
        with contextlib.suppress(RunError):
            parts.append(record.table(name).assign(measurement=""))
        measured = record.measured(name)
        if measured is not None:
            parts.append(measured)
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    return rows.drop_duplicates(["run", "seed", *UNITS[name]], ignore_index=True)


def separable_rows(records: Sequence[RunRecord]) -> pd.DataFrame:
    """`svm_convergence` of moments that S1 separates, on features as they are, of layers that began as trained."""
    rows = svm_rows(records, "svm_convergence")
    if rows.empty:
        return rows
    moment = ["run", "seed", "step"]
    separated = rows.loc[(rows["variant"] == "S1") & rows["separable"], moment].drop_duplicates()
    rows = rows[rows["angle_full_deg"].notna() & ~rows["rescaled"] & ~rows["fresh"]]
    return rows.merge(separated, on=moment)


@dataclass(frozen=True)
class Look:
    """The arrays of one layer: of a run's last moment with the probe, or of a measurement's."""

    record: RunRecord
    stage: str
    step: int
    arrays: dict[str, np.ndarray]


def looks(records: Sequence[RunRecord]) -> Iterator[list[Look]]:
    """Of each experiment's first seed with arrays: those of every stage, at the last moment measured."""
    done: set[str] = set()
    for record in sorted(records, key=lambda record: (record.identity["run"], record.identity["seed"])):
        if record.identity["run"] in done:
            continue
        found: dict[str, Look] = {}
        folders: list[Run | Measurement] = [record.run, *record.measurements()]
        for folder in folders:
            look = _look(record, folder)
            if look is not None and look.stage not in found:
                found[look.stage] = look
        if found:
            done.add(record.identity["run"])
            yield [found[stage] for stage in STAGES if stage in found]


def _look(record: RunRecord, folder: Run | Measurement) -> Look | None:
    steps = steps_of(folder.path, "svm")
    if not steps:
        return None
    stage = str(folder.read_config().get("stage", "whole")) if isinstance(folder, Measurement) else "whole"
    return Look(record, stage, steps[-1], folder.read_arrays("svm", steps[-1]))


def save_parts(
    name: str,
    drawn: pd.DataFrame,
    records: Sequence[RunRecord],
    folder: Path,
    figure: Callable[[pd.DataFrame, str], Figure],
    what: str,
) -> list[Path]:
    """Draws and saves a figure for each experiment in `drawn`; the files written."""
    paths: list[Path] = []
    if drawn.empty:
        return paths
    for (dataset, study, run), part in drawn.groupby(PLACE, sort=True):
        title = f"{dataset}, {study}"
        paths += keep(f"{name}-{run}", title, figure(part, f"{name}: {title}"), part, records, folder, what)
    return paths


def keep(
    stem: str,
    title: str,
    figure: Figure,
    drawn: pd.DataFrame,
    records: Sequence[RunRecord],
    folder: Path,
    what: str,
) -> list[Path]:
    """Saves a figure with its data and caption."""
    runs = set(drawn["run"])
    chosen = [record for record in records if record.identity["run"] in runs]
    seeds = ", ".join(map(str, sorted(drawn["seed"].unique())))
    lines = [f"**{stem.partition('-')[0]}: {title}.** {what} Seeds shown: {seeds}.", "", *describe_runs(chosen)]
    return save(figure, drawn.reset_index(drop=True), folder / file_name(stem), "\n".join(lines) + "\n")


def identified(look: Look, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the columns that tell whose arrays they are from."""
    about = {column: look.record.identity[column] for column in [*EXPERIMENT, "seed"]}
    return rows.assign(stage=look.stage, step=look.step, **about)
