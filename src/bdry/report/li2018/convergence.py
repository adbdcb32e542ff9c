"""Figures `convergence` and `slowness`: angle and margin ratio, against norm and loss, and against epochs and steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...runs import RunRecord
from ..curves import epoch_axis
from ..style import RC
from .rows import LABELS, PLACE, STAGE_LINES, STAGES, VARIANTS, colour, save_parts, separable_rows

WHAT = (
    "Angle between the centred last layer [W b] and each SVM on its own features, and what is missing of the SVM's "
    "margin (rho: margin ratio), against the layer's norm and the logarithm of the summed loss. Each line is a seed; "
    "line styles tell training of the whole network from that of its last layer on frozen features. Only S1 is a limit "
    "of gradient descent. A rho above 1, of an SVM with less margin than the layer, is not drawn."
)
SLOW = (
    "The same angle against epochs of the whole network, and against full-batch steps of the last layer on the frozen "
    "features of the last moment. Each line is a seed. The angle to S1 falls as 1 / log of the steps for plain ones."
)
COLUMNS = [
    *PLACE,
    "seed",
    "step",
    "epoch",
    "stage",
    "stage_step",
    "variant",
    "w_norm_centred",
    "log_n_times_loss",
    "angle_full_deg",
    "margin_ratio",
]


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `convergence` for each experiment with moments that an SVM separates."""
    return save_parts("convergence", drawn_data(records), records, folder, _convergence, WHAT)


def draw_slowness(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `slowness`, likewise."""
    return save_parts("slowness", drawn_data(records), records, folder, _slowness, SLOW)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figures draw: rows of `svm_convergence`; of frozen features those of each run's last moment."""
    rows = separable_rows(records)
    if rows.empty:
        return rows
    whole = rows["stage"] == "whole"
    frozen = rows[~whole]
    frozen = frozen[frozen["step"] == frozen.groupby(["run", "seed"])["step"].transform("max")]
    return pd.concat([rows[whole], frozen])[COLUMNS].sort_values([*PLACE, "seed", "stage", "step", "stage_step"])


def _convergence(drawn: pd.DataFrame, title: str) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(7.4, 5.9), layout="constrained")
        axes = figure.subplots(2, 2, sharey="row", sharex="col")
        points = drawn.assign(progress=-drawn["log_n_times_loss"], missing=1 - drawn["margin_ratio"])
        for column, x, label in ((0, "w_norm_centred", "norm of [W b]"), (1, "progress", "-log(N loss)")):
            for row, y in ((0, "angle_full_deg"), (1, "missing")):
                _lines(axes[row, column], points, x, y)
                axes[row, column].set_xscale("log")
                axes[row, column].set_yscale("log")
            axes[1, column].set_xlabel(label)
        axes[0, 0].set_ylabel("angle to the SVM (degrees)")
        axes[1, 0].set_ylabel("1 - rho")
        figure.suptitle(title, fontsize=10.5)
        _legend(figure, drawn)
    return figure


def _slowness(drawn: pd.DataFrame, title: str) -> Figure:
    whole, frozen = drawn[drawn["stage"] == "whole"], drawn[drawn["stage"] != "whole"]
    panels: list[tuple[pd.DataFrame, str, str, Sequence[int]]] = []
    if len(whole):
        panels.append((whole, "epoch", "epoch of the whole network", (1, 3)))
    if len(frozen):
        panels.append((frozen, "stage_step", "step of the last layer, features frozen", (1,)))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.9 * max(len(panels), 1.3), 3.9), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (points, x, label, factors) in zip(axes, panels, strict=True):
            _lines(axis, points, x, "angle_full_deg")
            epoch_axis(axis, points[x], factors)
            axis.set_xlabel(label)
            axis.set_ylim(bottom=0)
        axes[0].set_ylabel("angle to the SVM (degrees)")
        figure.suptitle(title, fontsize=10.5)
        _legend(figure, drawn)
    return figure


def _lines(axis: Axes, points: pd.DataFrame, x: str, y: str) -> None:
    for (variant, stage, _), line in points.groupby(["variant", "stage", "seed"]):
        marker = "o" if stage == "whole" else ""
        positive = line[line[x] > 0] if x == "progress" else line
        axis.plot(
            positive[x],
            np.where(positive[y] > 0, positive[y], np.nan),
            color=colour(variant),
            linestyle=STAGE_LINES[stage],
            marker=marker,
            markersize=2.5,
            linewidth=1.2,
            alpha=0.75,
        )


def _legend(figure: Figure, drawn: pd.DataFrame) -> None:
    variants = [name for name in VARIANTS if (drawn["variant"] == name).any()]
    stages = [name for name in STAGES if (drawn["stage"] == name).any()]
    handles = [Line2D([], [], color=colour(name), linewidth=3) for name in variants]
    handles += [Line2D([], [], color="#555555", linestyle=STAGE_LINES[name]) for name in stages]
    texts = [LABELS[name] for name in variants] + [STAGES[name] for name in stages]
    figure.legend(handles, texts, loc="outside lower center", ncols=3, handlelength=3)
