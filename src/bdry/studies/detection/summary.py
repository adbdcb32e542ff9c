"""What `bdry detect` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..printed import Rows, Tables

HEADINGS = ("statistic, taken at", "alpha", "images", "AUC", "logit gap's AUC", "recovered", "runner-up's")


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """Each statistic beside its baselines, at the last step and with the most directions."""
    found = tables("detect_summary")
    if found is None:
        return
    last = found[(found["step"] == found["step"].max()) & (found["num_directions"] == found["num_directions"].max())]
    shown = [
        (
            f"{row.statistic}, {row.family}",
            f"{row.alpha:g}",
            str(row.num_images),
            f"{row.auc:.3f} [{row.auc_low:.3f}, {row.auc_high:.3f}]",
            f"{row.logit_gap_auc:.3f}",
            f"{row.recovery_rate:.1%}",
            f"{row.runner_up_rate:.1%}",
        )
        for row in last.itertuples()
    ]
    yield Rows(f"step {last['step'].max()}: larger curvature, more likely perturbed?", HEADINGS, shown)
    if (last["flat_rate"] == 1).all():
        yield "every second derivative is 0, as in a linear network: the statistic is 0 everywhere, it tells nothing"
