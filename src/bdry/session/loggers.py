"""Where numbers and figures go beside the tables: nowhere, TensorBoard, Weights & Biases or MLflow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from filelock import FileLock

from ..errors import UsageError, show_value
from ..runs import TABLES, Run
from ..runs.differences import flattened

# Weights & Biases' project
PROJECT = "bdry"
# MLflow takes so many parameters at a time, and so many letters of each
PARAMETERS, LETTERS = 100, 500


class Logger(Protocol):
    """One callable for every place."""

    def __call__(self, step: int, tables: dict[str, pd.DataFrame], figures: Sequence[Path] = ()) -> None:
        """Gets every moment's tables, and at the end of the run its figures, PNGs, with no tables."""
        ...


def open_logger(name: str, folder: Run, config: dict[str, Any]) -> Logger:
    """The logger of that name for a run; what it writes it writes at the first moment.

    Args:
        name: csv, which is none; tensorboard, wandb or mlflow.
        folder: of the run; its name is the run's name there.
        config: of the run, which Weights & Biases and MLflow keep.

    Raises:
        UsageError: the package is not installed.
    """
    if name == "csv":
        return lambda step, tables, figures=(): None
    try:
        return _LOGGERS[name](folder, config)
    except ImportError:
        raise UsageError(f"logger={name}: not installed: pip install 'bdry[{name}]'") from None


def _tensorboard(folder: Run, config: dict[str, Any]) -> Logger:
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    writers: list[SummaryWriter] = []

    def log(step: int, tables: dict[str, pd.DataFrame], figures: Sequence[Path] = ()) -> None:
        if not writers:
            # drops what an interrupted run had logged past the step it resumes from
            writers.append(SummaryWriter(folder.tensorboard, purge_step=step))
        for tag, mean in _scalars(tables).items():
            writers[0].add_scalar(tag, mean, step)
        for path in figures:
            with Image.open(path) as image:
                writers[0].add_image(path.stem, np.asarray(image.convert("RGB")), step, dataformats="HWC")
        writers[0].flush()

    return log


def _wandb(folder: Run, config: dict[str, Any]) -> Logger:
    import wandb

    runs: list[Any] = []
    last: dict[str, float] = {}

    def log(step: int, tables: dict[str, pd.DataFrame], figures: Sequence[Path] = ()) -> None:
        if not runs:
            # the same run again goes on under the same id
            name = folder.name.replace("/", "-")
            about: dict[str, Any] = {
                "project": PROJECT,
                "group": folder.experiment,
                "name": name,
                "id": name,
                "resume": "allow",
            }
            settings = wandb.Settings(silent=True, console="off")
            runs.append(wandb.init(**about, dir=str(folder.path), config=config, settings=settings))
        last.update(_scalars(tables))
        if tables:
            runs[0].log(_scalars(tables), step=step)
        if figures:
            runs[0].log({path.stem: wandb.Image(str(path)) for path in figures}, step=step)
            runs[0].summary.update(last)
            runs[0].finish()

    return log


def _mlflow(folder: Run, config: dict[str, Any]) -> Logger:
    from mlflow.entities import Metric

    found: list[tuple[Any, str]] = []

    def begin() -> tuple[Any, str]:
        outputs = folder.path.resolve().parents[2]
        outputs.mkdir(parents=True, exist_ok=True)
        # the first of a sweep's jobs makes the data base
        with FileLock(outputs / "mlflow.lock"):
            return _mlflow_run(folder, config, outputs)

    def log(step: int, tables: dict[str, pd.DataFrame], figures: Sequence[Path] = ()) -> None:
        if not found:
            found.append(begin())
        client, run = found[0]
        scalars = _scalars(tables)
        if scalars:
            # its names have no brackets and no equals signs
            client.log_batch(run, metrics=[Metric(_plain(tag), mean, 0, step) for tag, mean in scalars.items()])
        for path in figures:
            client.log_artifact(run, str(path), "figures")
        if figures:
            client.set_terminated(run)

    return log


def _mlflow_run(folder: Run, config: dict[str, Any], outputs: Path) -> tuple[Any, str]:
    """The client and the run's number, its own of before where it goes on; a data base in `outputs` by default."""
    from mlflow.entities import Param
    from mlflow.tracking import MlflowClient

    given = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(given or f"sqlite:///{outputs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(folder.experiment)
    if experiment is None:
        place = None if given else (outputs / "mlartifacts").as_uri()
        number = client.create_experiment(folder.experiment, artifact_location=place)
    else:
        number = experiment.experiment_id
    before = client.search_runs([number], f"tags.bdry_run = '{folder.name}'", max_results=1)
    if before:
        return client, before[0].info.run_id
    run = client.create_run(number, tags={"bdry_run": folder.name}, run_name=folder.name).info.run_id
    keys = [Param(key, show_value(value)[:LETTERS]) for key, value in flattened(config).items()]
    for first in range(0, len(keys), PARAMETERS):
        client.log_batch(run, params=keys[first : first + PARAMETERS])
    return client, run


_LOGGERS: dict[str, Callable[[Run, dict[str, Any]], Logger]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}


def _plain(tag: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-./ :" else "_" for letter in tag)


def _scalars(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    return {tag: mean for table, rows in tables.items() for tag, mean in means(table, rows)}


def means(table: str, rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """(tag, mean) of a table's measured numbers at one moment, for each combination of words that occurs.

    The tag is `<table>/<words>/<column>`, as in `margin_summary/l2/test/all/mean`; words that are the same in all rows
    are left out, as are means that are no numbers.
    """
    kinds = {column.name: column.kind for column in TABLES[table].columns}
    keys = [name for name, kind in kinds.items() if kind in ("str", "bool") and rows[name].nunique() > 1]
    numbers = [name for name, kind in kinds.items() if kind == "float" and name != "epoch"]
    for words, part in rows.groupby(keys, sort=True) if keys else [((), rows)]:
        said = [f"{key}={word}" if kinds[key] == "bool" else word for key, word in zip(keys, words, strict=True)]
        for name, mean in part[numbers].mean().items():
            if math.isfinite(mean):
                yield "/".join([table, *said, str(name)]), float(mean)
