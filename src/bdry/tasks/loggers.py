"""Where scalars go beside the tables: nowhere, or TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..errors import UsageError

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
        for key, value in tables["history"].iloc[0].items():
            if isinstance(value, float):
                writers[0].add_scalar(f"history/{key}", value, step)
        for row in tables["margin_summary"].itertuples() if "margin_summary" in tables else ():
            box = "clipped" if row.clipped else "unclipped"
            writers[0].add_scalar(f"margin/{row.norm}/{box}/{row.split}/{row.subset}", row.mean, step)
        writers[0].flush()

    return log
