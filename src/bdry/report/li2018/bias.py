"""Figure `bias`: where the boundary stands between classes, whole training against the last layer trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ...runs import RunRecord
from ..curves import epoch_axis
from ..style import COLOURS, RC
from .rows import PLACE, save_parts, svm_rows

WHAT = (
    "How far from midway the boundary stands between two classes: |beta - 0.5|, median over the pairs that support S3 "
    "on both sides; 0.5 is at a sample. Whole training, and a fresh last layer on the frozen features of the end, "
    "trained with the run's optimiser and by loss-scaled steps for as many epochs; on features as they are and over "
    "their rms norm. Dashed: where S1, the limit, stands. Each line is a seed."
)
ARMS = {
    "whole": "whole network",
    "last_only": "fresh last layer, the run's optimiser",
    "last_only_loss_scaled": "fresh last layer, loss-scaled steps",
}


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each experiment with study=bias."""
    return save_parts("bias", drawn_data(records), records, folder, _figure, WHAT)


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: beta_off, s1_off: medians over class pairs of |beta - 0.5|.

    progress: epochs done; of a last layer trained alone the share of its steps times the run's epochs.
    """
    rows = svm_rows(records, "svm_bias")
    if rows.empty:
        return rows
    # the arms of the experiment, and the whole training of the same runs
    arms = rows[rows["fresh"] & (rows["stage"] != "accelerated")]
    rows = pd.concat([arms, rows[(rows["stage"] == "whole") & rows["run"].isin(arms["run"])]])
    epochs = {record.identity["run"]: record.config["training"]["epochs"] for record in records}
    seed = [*PLACE, "seed", "stage", "rescaled"]
    share = rows["stage_step"] / rows.groupby(seed)["stage_step"].transform("max")
    alone = share * rows["run"].map(epochs)
    rows = rows.assign(
        progress=rows["epoch"].where(rows["stage"] == "whole", alone),
        beta_off=(rows["beta_nn"] - 0.5).abs(),
        s1_off=(rows["beta_s1"] - 0.5).abs(),
    )
    grouped = rows.groupby([*seed, "progress"], as_index=False)
    return grouped.agg(beta_off=("beta_off", "median"), s1_off=("s1_off", "median"), num_pairs=("beta_nn", "size"))


def _distance_axis(axis: Axes, values: pd.Series) -> None:
    """Linear between midway and a sample, where what matters happens; logarithmic beyond."""
    axis.set_yscale("symlog", linthresh=0.5, linscale=1.5)
    top = max(0.5, float(values.max()))
    axis.set_yticks([tick for tick in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 10, 100, 1000) if tick <= top])
    axis.set_yticks([], minor=True)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_ylim(-0.02, 1.1 * top)


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    panels = [(flag, part) for flag, part in drawn.groupby("rescaled")]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.9 * max(len(panels), 1.2), 3.7), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (flag, part) in zip(axes, panels, strict=True):
            for (stage, _), line in part.groupby(["stage", "seed"]):
                colour = COLOURS[list(ARMS).index(stage)]
                ordered = line.sort_values("progress")
                style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 2.5, "alpha": 0.75}
                axis.plot(ordered["progress"], ordered["beta_off"], **style)
            ends = part[part["progress"] == part.groupby("seed")["progress"].transform("max")]
            for value in ends.groupby("seed")["s1_off"].first():
                axis.axhline(value, color="black", linestyle=(0, (4, 2)), linewidth=0.8, alpha=0.6)
            epoch_axis(axis, part["progress"])
            _distance_axis(axis, drawn["beta_off"])
            axis.set_title("features over their rms norm" if flag else "features as they are")
            axis.set_xlabel("epoch")
        axes[0].set_ylabel("|beta - 0.5|, median over pairs")
        figure.suptitle(title, fontsize=10.5)
        handles = [Line2D([], [], color=COLOURS[number], marker="o", markersize=3) for number in range(len(ARMS))]
        handles.append(Line2D([], [], color="black", linestyle=(0, (4, 2)), linewidth=0.8))
        figure.legend(handles, [*ARMS.values(), "S1"], loc="outside lower center", ncols=2, handlelength=3)
    return figure
