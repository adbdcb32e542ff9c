"""Figure `margin_evolution`: mean margin over training, train and test, in each norm; below it the error.

One figure a data set and architecture. A curve is one experiment (a config); its band spans the seeds' smallest and
largest value, or with one seed the quartiles over images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..errors import RunError
from ..runs import RunRecord
from .style import COLOURS, NORM_LABELS, RC, save

NAME = "margin_evolution"
STYLES = {"train": "-", "test": (0, (4, 1.5))}
MARKERS = {"train": "o", "test": "s"}
MOST_MARKERS = 20


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture among `records`; runs without margins are left out."""
    drawn = drawn_data(records)
    paths = []
    for (dataset, arch), part in drawn.groupby(["dataset", "arch"]):
        figure = _figure(part, f"{dataset}, {arch}")
        paths += save(figure, part, folder / f"{NAME}-{dataset}-{arch}")
    return paths


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row a point of a curve, in panels `l2`, `linf`, `error` and `robust_error`.

    value, low, high: mean over seeds and the ends of the band. lower_bound: mean certified one, where margins were
    bracketed. num_seeds, num_images: behind them. adv_eps: the radius trained against, in the norm of the panel.
    """
    parts = [part for record in records for part in (_margins(record), _errors(record)) if part is not None]
    if not parts:
        return pd.DataFrame(columns=["dataset", "arch"])
    points = pd.concat(parts, ignore_index=True)
    keys = ["dataset", "arch", "run", "adv", "panel", "split", "step", "epoch"]
    rows = []
    for values, group in points.groupby(keys, sort=True):
        several = len(group) > 1
        rows.append(
            {
                **dict(zip(keys, values, strict=True)),
                "value": group["value"].mean(),
                "low": group["value"].min() if several else group["q25"].iloc[0],
                "high": group["value"].max() if several else group["q75"].iloc[0],
                "lower_bound": group["lower_bound"].mean(),
                "num_seeds": group["seed"].nunique(),
                "num_images": int(group["num_images"].min()),
                "adv_eps": group["adv_eps"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def _margins(record: RunRecord) -> pd.DataFrame | None:
    try:
        summary = record.table("margin_summary")
    except RunError:
        return None
    # the distance in R^d comes first; a run that measured only inside the box shows that
    clipped = bool(summary["clipped"].all())
    chosen = summary[(summary["subset"] == "all") & (summary["clipped"] == clipped)]
    adv = record.config["adv"]
    return chosen.assign(
        panel=chosen["norm"],
        value=chosen["mean"],
        lower_bound=chosen["mean_lower_bound"],
        num_images=chosen["num_success"],
        adv_eps=[adv.get("eps", np.nan) if adv.get("norm") == norm else np.nan for norm in chosen["norm"]],
    )


def _errors(record: RunRecord) -> pd.DataFrame | None:
    try:
        history = record.table("history")
    except RunError:
        return None
    parts = []
    for panel, split, column in (
        ("error", "train", "train_accuracy"),
        ("error", "test", "test_accuracy"),
        ("robust_error", "test", "robust_accuracy"),
    ):
        error = 1 - history[column]
        nothing = {"q25": np.nan, "q75": np.nan, "lower_bound": np.nan, "num_images": 0, "adv_eps": np.nan}
        parts.append(history.assign(panel=panel, split=split, value=error, **nothing)[error.notna()])
    return pd.concat(parts, ignore_index=True)


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = [norm for norm in NORM_LABELS if (drawn["panel"] == norm).any()]
    columns = max(len(norms), 2)
    runs = list(dict.fromkeys(drawn.sort_values(["adv", "run"])["run"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.6 * columns, 5.2), layout="constrained")
        axes = figure.subplots(2, columns, squeeze=False, sharex=True)
        for axis, norm in zip(axes[0], [*norms, None, None], strict=False):
            if norm is None:
                axis.set_visible(False)
                continue
            _curves(axis, drawn[drawn["panel"] == norm], runs)
            axis.set_ylabel(f"mean {NORM_LABELS[norm]} margin\n(pixel units of [0, 1])")
            axis.set_ylim(bottom=0)
        for axis, panel, label in zip(
            axes[1],
            ("error", "robust_error"),
            ("error (share of images)", "error under PGD\n(share of test images)"),
            strict=False,
        ):
            _curves(axis, drawn[drawn["panel"] == panel], runs)
            axis.set_ylabel(label)
            axis.set_ylim(-0.02, 1.02)
        for axis in axes.flat:
            _epoch_axis(axis, drawn["epoch"])
        for axis in axes[1]:
            axis.set_xlabel("epoch")
        figure.suptitle(f"{title}: margin over training", fontsize=10.5)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, title=_caption(drawn))
    return figure


def _epoch_axis(axis: Axes, epochs: pd.Series) -> None:
    """Logarithmic from the first moment after initialisation, which itself stands at 0 on the left."""
    after = epochs[epochs > 0]
    if after.empty:
        axis.set_xticks([0])
        return
    first, last = float(after.min()), float(epochs.max())
    axis.set_xscale("symlog", linthresh=first, linscale=0.3)
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in (1, 3)]
    axis.set_xticks([0, *(tick for tick in ticks if first < tick <= last)])
    axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlim(-0.15 * first, last * 1.08)


def _curves(axis: Axes, points: pd.DataFrame, runs: list[str]) -> None:
    labels = _run_labels(points)
    curves = points.groupby(["run", "split"])
    for run, split in sorted(curves.groups, key=lambda key: (runs.index(key[0]), list(STYLES).index(key[1]))):
        curve = curves.get_group((run, split)).sort_values("step")
        colour = COLOURS[runs.index(run) % len(COLOURS)]
        axis.plot(
            curve["epoch"],
            curve["value"],
            color=colour,
            linestyle=STYLES[split],
            marker=MARKERS[split] if len(curve) <= MOST_MARKERS else "",
            markersize=3,
            label=f"{labels[run]}, {split}",
        )
        if curve["low"].notna().any():
            axis.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.13, linewidth=0)
        if curve["lower_bound"].notna().any():
            label = f"{labels[run]}, {split}: certified lower bound"
            axis.plot(
                curve["epoch"], curve["lower_bound"], color=colour, linestyle=STYLES[split], linewidth=0.8, label=label
            )
    for run, eps in points.dropna(subset=["adv_eps"]).groupby("run")["adv_eps"].first().items():
        axis.axhline(eps, color=COLOURS[runs.index(run) % len(COLOURS)], linewidth=1, linestyle=":")
        axis.annotate(f"eps {eps:.3g}", (0.01, eps), xycoords=("axes fraction", "data"), va="bottom", fontsize=7.5)


def _run_labels(points: pd.DataFrame) -> dict[str, str]:
    """Each run's training mode, with its hash where several runs share the mode."""
    runs = points[["run", "adv"]].drop_duplicates()
    shared = runs["adv"].duplicated(keep=False)
    names = {"none": "standard", "pgd": "PGD-adversarial"}
    return {
        run: names.get(adv, adv) + (f" ({run.rsplit('-', 1)[-1]})" if is_shared else "")
        for run, adv, is_shared in zip(runs["run"], runs["adv"], shared, strict=True)
    }


def _caption(drawn: pd.DataFrame) -> str:
    margins = drawn[drawn["num_images"] > 0]
    images = f"{margins['num_images'].max():.0f} images a split" if len(margins) else "no margins"
    counts = sorted(drawn["num_seeds"].unique())
    seeds = f"{' or '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"
    bands = {"quartiles over images": counts[0] == 1, "smallest to largest seed": counts[-1] > 1}
    return f"n = {images}, {seeds}; band: {' or '.join(band for band, there in bands.items() if there)}"
