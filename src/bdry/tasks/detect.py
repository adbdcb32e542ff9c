"""`bdry detect`: perturbed images told from natural ones by the curvature of the boundary of a run's checkpoints."""

from __future__ import annotations

import pandas as pd

from ..runs import TABLES, Measurement, read_table
from ..studies.detection.settings import DetectionConfig
from .console import show
from .measure import measure_run

HEADINGS = ("statistic, taken at", "alpha", "images", "AUC", "margin's AUC", "recovered", "runner-up's")


def run(config: DetectionConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured; shows each statistic beside its baselines."""
    folder = measure_run(config, "detect", "detect", "fawzi2017")
    found = read_table(folder.table_path("detect_summary"), TABLES["detect_summary"])
    last = found[(found["step"] == found["step"].max()) & (found["num_directions"] == found["num_directions"].max())]
    show(f"step {last['step'].max()}: larger curvature, more likely perturbed?", HEADINGS, _lines(last))
    if (last["flat_rate"] == 1).all():
        print("every second derivative is 0, as in a linear network: the statistic is 0 everywhere, it tells nothing")
    return folder


def _lines(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    return [
        (
            f"{row.statistic}, {row.family}",
            f"{row.alpha:g}",
            str(row.num_images),
            f"{row.auc:.3f} [{row.auc_low:.3f}, {row.auc_high:.3f}]",
            f"{row.margin_auc:.3f}",
            f"{row.recovery_rate:.1%}",
            f"{row.runner_up_rate:.1%}",
        )
        for row in summary.itertuples()
    ]
