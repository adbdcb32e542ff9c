"""Figure `solver`: what solving took at each moment, and how sure the solution is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...runs import RunRecord
from ..curves import epoch_axis
from ..style import RC
from .rows import LABELS, PLACE, VARIANTS, colour, save_parts, svm_rows

WHAT = (
    "Seconds that each SVM took at each moment of training, and the gap between its margin and the proven bound on any "
    "layer's, drawn at 1e-12 where it is below. Hollow: no separating layer was found. The paper's comparators have no "
    "certificate."
)
# what rounding leaves of a gap
LEAST_GAP = 1e-12


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each experiment."""
    return save_parts("solver", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a moment, seed and SVM that was solved or tried."""
    rows = svm_rows(records, "svm_convergence")
    if rows.empty:
        return rows
    times = svm_rows(records, "svm_timings")
    if times.empty:
        return times
    unit = ["run", "seed", "step", "rescaled", "variant"]
    rows = rows.merge(times[[*unit, "svm_seconds"]], on=unit)
    rows = rows[(rows["stage"] == "whole") & ~rows["rescaled"]]
    columns = [*PLACE, "seed", "step", "epoch", "variant", "solver", "separable", "svm_seconds", "svm_gap"]
    return rows[[*columns, "num_samples", "feature_dim", "num_classes"]]


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    about = drawn.iloc[0]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(7.4, 3.6), layout="constrained")
        axes = figure.subplots(1, 2)
        gaps = drawn["svm_gap"].where(drawn["separable"]).clip(lower=LEAST_GAP)
        panels = ((drawn["svm_seconds"], "seconds"), (gaps, "gap: 1 - margin / proven bound"))
        for axis, (values, label) in zip(axes, panels, strict=True):
            for (variant, separable), part in drawn.groupby(["variant", "separable"]):
                shade = colour(variant)
                face = shade if separable else "none"
                axis.scatter(part["epoch"], values[part.index], s=14, facecolors=face, edgecolors=shade, linewidths=0.9)
            epoch_axis(axis, drawn["epoch"])
            axis.set_yscale("log")
            axis.set_axisbelow(True)
            axis.set_xlabel("epoch")
            axis.set_ylabel(label)
        axes[1].set_ylim(0.3 * LEAST_GAP, 3 * max(float(gaps.max()), 1e-6) if gaps.notna().any() else 1e-6)
        sizes = f"{about['num_samples']} images x {about['feature_dim']} features, {about['num_classes']} classes"
        figure.suptitle(f"{title}: {sizes}", fontsize=10.5)
        names = [name for name in VARIANTS if (drawn["variant"] == name).any()]
        handles = [Line2D([], [], color=colour(name), marker="o", linestyle="") for name in names]
        figure.legend(handles, [LABELS[name] for name in names], loc="outside lower center", ncols=3)
    return figure
