"""Where scalars go beside the tables: nowhere, or TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from ..errors import UsageError
from ..runs import TABLES

ScalarLogger = Callable[[int, dict[str, pd.DataFrame]], None]


def scalar_logger(name: str, folder: Path) -> ScalarLogger:
    """A callable that gets every moment's tables; `UsageError` where TensorBoard is asked for but not installed."""
    if name != "tensorboard":
        return lambda step, tables: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("logger=tensorboard: not installed: pip install 'bdry[tensorboard]'") from None
    writers: list[SummaryWriter] = []

    def log(step: int, tables: dict[str, pd.DataFrame]) -> None:
        if not writers:
            # drops what an interrupted run had logged past the step it resumes from
            writers.append(SummaryWriter(folder, purge_step=step))
        for table, rows in tables.items():
            for tag, mean in means(table, rows):
                writers[0].add_scalar(tag, mean, step)
        writers[0].flush()

    return log


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
