"""Figures of the last layer over training (li2018): `convergence`, `slowness`, `overlap`, `solver` and `bias`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ....figures.curves import Legend, epoch_axis, log_labels, over_epochs, share_panel
from ....figures.drawing import Drawing, each_experiment
from ....figures.points import EXPERIMENT, over_seeds
from ....figures.style import COLOURS, RC
from ....runs import RunRecord
from ....selection import select
from .common import LABELS, PLACE, STAGE_LINES, STAGES, SVM, VARIANTS, colour, separable_rows

CONVERGENCE_WHAT = (
    "Angle between the centred last layer [W b] and each SVM on its own features, and what is missing of the SVM's "
    "margin (rho: margin ratio), against the layer's norm and the logarithm of the summed loss. Thin: a seed each; "
    "thick: the median over seeds at each moment, of two the smaller. Line styles tell training of the whole network "
    "from that of its last layer on frozen features. Only S1 is a limit of gradient descent. A rho above 1, of an SVM "
    "with less margin than the layer, is not drawn."
)
SLOW = (
    "The same angle against epochs of the whole network, and against full-batch steps of the last layer on the frozen "
    "features of the last moment. Thin: a seed each; thick: their median, of two the smaller. The angle to S1 falls as "
    "1 / log of the steps for plain ones."
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


def convergence_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figures draw: rows of `svm_convergence`; of frozen features those of each run's last moment."""
    rows = separable_rows(records)
    if rows.empty:
        return rows
    whole = rows["stage"] == "whole"
    frozen = rows[~whole]
    frozen = frozen[frozen["step"] == frozen.groupby(["experiment", "seed"])["step"].transform("max")]
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
            log_labels(axes[1, column].xaxis)
            axes[1, column].set_xlabel(label)
        axes[0, 0].set_ylabel("angle to the SVM (degrees)")
        axes[1, 0].set_ylabel("1 - rho, the share of the\nSVM's margin that is missing")
        for row in range(2):
            log_labels(axes[row, 0].yaxis)
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
    shown = points[points[x] > 0] if x == "progress" else points
    shown = shown.assign(**{y: shown[y].where(shown[y] > 0)})
    for (variant, stage), lines in shown.groupby(["variant", "stage"]):
        style: dict[str, Any] = {"color": colour(variant), "linestyle": STAGE_LINES[stage]}
        marker = "o" if stage == "whole" else ""
        seeds = lines["seed"].nunique()
        for _, line in lines.groupby("seed"):
            faint = {"linewidth": 0.6, "alpha": 0.4} if seeds > 1 else {"linewidth": 1.2, "marker": marker}
            axis.plot(line[x], line[y], markersize=2.5, **style, **faint)
        if seeds > 1:
            # a moment that is missing of a seed has the median of other networks
            middle = lines.dropna(subset=[y]).groupby(["step", "stage_step"])[[x, y, "seed"]]
            middle = middle.agg({x: _median, y: _median, "seed": "size"})
            middle = middle[middle["seed"] == seeds]
            axis.plot(middle[x], middle[y], marker=marker, markersize=3, linewidth=1.6, **style)


def _median(values: pd.Series) -> float:
    # seeds may be of two kinds, and nothing lies between these
    return float(values.quantile(0.5, interpolation="lower"))


def _legend(figure: Figure, drawn: pd.DataFrame) -> None:
    variants = [name for name in VARIANTS if (drawn["variant"] == name).any()]
    stages = [name for name in STAGES if (drawn["stage"] == name).any()]
    handles = [Line2D([], [], color=colour(name), linewidth=3) for name in variants]
    handles += [Line2D([], [], color="#555555", linestyle=STAGE_LINES[name]) for name in stages]
    texts = [LABELS[name] for name in variants] + [STAGES[name] for name in stages]
    figure.legend(handles, texts, loc="outside lower center", ncols=3, handlelength=3)


PANELS = {
    "Jaccard index": {
        "lowest margins": "jaccard_margin",
        "highest losses": "jaccard_loss",
        "lowest margins of pairs": "jaccard_pairs",
    },
    "agreement with S1": {
        "training images": "agree_train",
        "test images": "agree_test",
        "points of a grid": "agree_grid",
    },
}
OVERLAP_WHAT = (
    "Left: overlap of S1's support vectors with as many training images of lowest margin, of highest loss, and of its "
    "support pairs with as many pairs of lowest margin. Right: share of points to which the network and S1 give the "
    "same label; a high share is no sign of convergence. Means over seeds, bands from the smallest to the largest."
)


def overlap_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `overlap` draws; columns of `points.over_seeds`."""
    rows = separable_rows(records)
    if rows.empty:
        return rows
    rows = rows[(rows["variant"] == "S1") & (rows["stage"] == "whole")]
    parts = [
        rows.assign(panel=panel, series=series, value=rows[column], num_images=rows["num_samples"])
        for panel, columns in PANELS.items()
        for series, column in columns.items()
    ]
    points = pd.concat(parts, ignore_index=True)
    points = points[points["value"].notna()]
    if points.empty:
        return points
    return over_seeds(points, [*EXPERIMENT, "panel", "series"])


def _overlap_figure(drawn: pd.DataFrame, title: str) -> Figure:
    layout = [[share_panel(name, name) for name in PANELS]]
    legend = Legend([series for columns in PANELS.values() for series in columns])
    return over_epochs(drawn, layout, legend, title)


SOLVER_WHAT = (
    "Seconds that each SVM took at each moment of training, and the gap between its margin and the proven bound on any "
    "layer's, drawn at 1e-12 where it is below. Hollow: no separating layer was found. The paper's comparators have no "
    "certificate."
)
# what rounding leaves of a gap
LEAST_GAP = 1e-12


def solver_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `solver` draws: a row a moment, seed and SVM that was solved or tried."""
    rows = select(records, "svm_convergence").rows
    if rows.empty:
        return rows
    times = select(records, "svm_timings").rows
    if times.empty:
        return times
    unit = ["experiment", "seed", "step", "rescaled", "variant"]
    rows = rows.merge(times[[*unit, "svm_seconds"]], on=unit)
    rows = rows[(rows["stage"] == "whole") & ~rows["rescaled"]]
    columns = [*PLACE, "seed", "step", "epoch", "variant", "solver", "separable", "svm_seconds", "svm_gap"]
    return rows[[*columns, "num_samples", "feature_dim", "num_classes"]]


def _solver_figure(drawn: pd.DataFrame, title: str) -> Figure:
    about = drawn.iloc[0]
    with matplotlib.rc_context(RC):
        gaps = drawn["svm_gap"].where(drawn["separable"]).clip(lower=LEAST_GAP)
        panels = [(drawn["svm_seconds"], "seconds"), (gaps, "gap: 1 - margin / proven bound")]
        panels = [panel for panel in panels if panel[0].notna().any()]
        figure = Figure(figsize=(3.7 * max(len(panels), 1.4), 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
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
        if len(axes) > 1:
            axes[1].set_ylim(0.3 * LEAST_GAP, 3 * float(gaps.max()))
        for axis in axes:
            log_labels(axis.yaxis)
        sizes = f"{about['num_samples']} images x {about['feature_dim']} features, {about['num_classes']} classes"
        figure.suptitle(f"{title}: {sizes}", fontsize=10.5)
        names = [name for name in VARIANTS if (drawn["variant"] == name).any()]
        texts = [LABELS[name] for name in names]
        handles = [Line2D([], [], color=colour(name), marker="o", linestyle="") for name in names]
        if not drawn["separable"].all():
            texts.append("hollow: no separating layer found")
            handles.append(Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle=""))
        figure.legend(handles, texts, loc="outside lower center", ncols=2 if len(axes) == 1 else len(texts))
    return figure


BIAS_WHAT = (
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


def bias_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `bias` draws: beta_off, s1_off: medians over class pairs of |beta - 0.5|.

    progress: epochs done; of a last layer trained alone the share of its steps times the run's epochs.
    """
    rows = select(records, "svm_bias").rows
    if rows.empty:
        return rows
    # the arms of the experiment, and the whole training of the same runs
    arms = rows[rows["fresh"] & (rows["stage"] != "accelerated")]
    if arms.empty:
        return arms
    rows = pd.concat([arms, rows[(rows["stage"] == "whole") & rows["experiment"].isin(arms["experiment"])]])
    epochs = {record.identity["experiment"]: record.config["training"]["epochs"] for record in records}
    seed = [*PLACE, "seed", "stage", "rescaled"]
    share = rows["stage_step"] / rows.groupby(seed)["stage_step"].transform("max")
    alone = share * rows["experiment"].map(epochs)
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


def _bias_figure(drawn: pd.DataFrame, title: str) -> Figure:
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


FIGURES = (
    Drawing(
        "convergence",
        f"{SVM}, at moments with separable features",
        ("svm_convergence",),
        each_experiment(convergence_data, _convergence, CONVERGENCE_WHAT),
    ),
    Drawing(
        "slowness",
        f"{SVM}, at moments with separable features",
        ("svm_convergence",),
        each_experiment(convergence_data, _slowness, SLOW),
    ),
    Drawing(
        "bias", "bdry svm run=<run> study=bias", ("svm_bias",), each_experiment(bias_data, _bias_figure, BIAS_WHAT)
    ),
    Drawing(
        "overlap",
        f"{SVM}, at moments with separable features",
        ("svm_convergence",),
        each_experiment(overlap_data, _overlap_figure, OVERLAP_WHAT),
    ),
    Drawing("solver", SVM, ("svm_convergence",), each_experiment(solver_data, _solver_figure, SOLVER_WHAT)),
)
