"""What `bdry margin` draws and says: figure `estimators`, the histogram of a checkpoint, and estimators compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....figures.curves import SPLITS, Legend, Panel, margin_panel, norms_in, over_epochs
from ....figures.drawing import Drawing, each
from ....figures.points import EXPERIMENT, IDENTITY, of_study, over_seeds, rows_of, series
from ....figures.style import COLOURS, NORM_LABELS, RC, save
from ....runs import RunRecord

ESTIMATORS_WHAT = (
    "Margins of the same images by several estimators over training: mean margin, and below it the mean ratio to the "
    "smallest margin that any of them found; both over the images that every estimator found. With one seed the "
    "ratios alone have a band."
)


def estimators_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what `estimators` draws: columns of `points.over_seeds`, a series an estimator.

    Panels `l2` and `linf` are mean margins, `ratio l2` and `ratio linf` mean ratios to the best known.
    """
    found = _by_estimators(of_study(records, "main"))
    if found.empty:
        return pd.DataFrame(columns=["dataset", "arch", "training_label"])
    parts = [_shared(part) for _, part in found.groupby(["experiment", "seed"], sort=False)]
    rows = pd.concat(parts, ignore_index=True)
    moment = [*IDENTITY, "split", "step", "epoch", "norm", "estimator"]
    parts = []
    for column, prefix in (("margin", ""), ("ratio", "ratio ")):
        groups = rows.groupby(moment)[column]
        quartiles = groups.quantile([0.25, 0.75]).unstack().set_axis(["q25", "q75"], axis=1)
        if column == "margin":
            # images differ more than estimators do: bands of all would hide the curves
            quartiles[:] = np.nan
        found = quartiles.assign(value=groups.mean(), num_images=groups.size()).reset_index()
        parts.append(found.assign(panel=prefix + found["norm"]))
    points = pd.concat(parts, ignore_index=True).rename(columns={"estimator": "series"})
    points["training_label"] = series(points, records)
    return over_seeds(points, [*EXPERIMENT, "training_label", "series", "panel", "split"])


def _by_estimators(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Margins of the same images: what the probe measured beside its own estimator, and the estimator checks."""
    margins = rows_of(records, "margins", every_estimator=True)
    several = margins.groupby(["experiment", "seed"])["estimator"].transform("nunique") > 1
    check = rows_of(records, "estimator_check", every_estimator=True)
    columns = [*IDENTITY, "split", "step", "epoch", "index", "norm", "estimator", "margin"]
    both = [part[columns] for part in (margins[several], check) if len(part)]
    if not both:
        return pd.DataFrame(columns=columns)
    return pd.concat(both, ignore_index=True).drop_duplicates([name for name in columns if name != "margin"])


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """One run's rows, of the images where every estimator found a margin."""
    image = ["step", "split", "index", "norm"]
    groups = rows.groupby(image)["margin"]
    found_by = groups.transform("count")
    everyone = rows.groupby(["step", "split", "norm"])["estimator"].transform("nunique")
    best = groups.transform("min")
    return rows.assign(ratio=rows["margin"] / best.where(best > 0, np.nan))[found_by == everyone]


def _estimators_figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms = norms_in(drawn["panel"])
    ratios = [Panel(f"ratio {norm}", f"{NORM_LABELS[norm]} margin / best known", bottom=None) for norm in norms]
    layout = [[margin_panel(norm) for norm in norms], ratios]
    return over_epochs(drawn, layout, Legend(sorted(drawn["series"].unique()), "split", SPLITS), title)


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each norm, box and estimator of the table `estimator_check`; the first estimator is the reference.

    Columns: norm, clipped, estimator, num_images (over all checkpoints), success_rate, mean_margin and mean_ratio (to
    the best known) over the margins found; change: of the mean margin from the first checkpoint to the last, over the
    images that both this estimator and the reference found at both; trend_agrees: whether its sign is the
    reference's on the same images. The last two are nan and None where only one checkpoint was measured.
    """
    reference = rows["estimator"].iloc[0]
    found = []
    for (norm, clipped), panel in rows.groupby(["norm", "clipped"], sort=False):
        changes = _changes(panel)
        for estimator, part in panel.groupby("estimator", sort=False):
            change, reference_change = _paired(changes, estimator, reference)
            known = np.isfinite(change) and np.isfinite(reference_change)
            found.append(
                {
                    "norm": norm,
                    "clipped": clipped,
                    "estimator": estimator,
                    "num_images": len(part),
                    "success_rate": part["margin"].notna().mean(),
                    "mean_margin": part["margin"].mean(),
                    "mean_ratio": part["ratio"].mean(),
                    "change": change,
                    "trend_agrees": bool(np.sign(change) == np.sign(reference_change)) if known else None,
                }
            )
    return pd.DataFrame(found)


def _changes(panel: pd.DataFrame) -> pd.DataFrame:
    """Change of each image's margin from the first checkpoint to the last: a column an estimator, nan where unknown."""
    margins = panel.set_index(["split", "index", "estimator", "step"])["margin"].unstack(["estimator", "step"])
    first, last = panel["step"].min(), panel["step"].max()
    names = panel["estimator"].unique()
    if first == last:
        return pd.DataFrame({name: [np.nan] for name in names})
    return pd.DataFrame({name: margins[name, last] - margins[name, first] for name in names})


def _paired(changes: pd.DataFrame, estimator: str, reference: str) -> tuple[float, float]:
    both = changes[[*dict.fromkeys([estimator, reference])]].dropna()
    return (both[estimator].mean(), both[reference].mean()) if len(both) else (np.nan, np.nan)


NAME, BOUND_NAME = "margin_histogram", "lower_bound_histogram"
FEWEST_BINS, MOST_BINS = 10, 40
LABELS = {"correct": "correct", "incorrect": "misclassified"}
FILL = {"correct": 0.18, "incorrect": 0.0}


def draw_histograms(margins: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Draws a figure for each step in the table `margins`; the files written (PNG, PDF and CSV).

    One of the margins found, unless the estimator only bounds them; one of the lower bounds where there are any.
    """
    has_bounds = bool(margins["lower_bound"].notna().any())
    has_margins = bool(margins["success"].any()) or not has_bounds
    drawn = {BOUND_NAME: ("lower_bound", "lower bound on the margin")} if has_bounds else {}
    drawn |= {NAME: ("margin", "margin")} if has_margins else {}
    paths = []
    for name, (column, label) in drawn.items():
        for step, part in histogram_data(margins, column).groupby("step"):
            epoch = margins.loc[margins["step"] == step, "epoch"].iloc[0]
            when = f"step {step}, epoch {epoch:.3g}" if margins["step"].max() > 0 else ""
            figure = _histogram_figure(part, ", ".join(filter(None, [title, when])), label)
            paths += save(figure, part, folder / f"{name}-step={step:08d}")
    return paths


def histogram_data(margins: pd.DataFrame, column: str = "margin") -> pd.DataFrame:
    """Exactly what the figures draw: a row a bin of a histogram of the margins, or of the column `lower_bound`.

    low, high: the bin's edges, in pixel units of [0, 1]. count: values in it. share: count / num_found, 0 where
    there are none. num_found, num_images: images of the histogram with a value, and all of them.
    """
    margins = margins.assign(known=margins["success"] if column == "margin" else margins[column].notna())
    rows = []
    for (norm, clipped), panel in margins.groupby(["norm", "clipped"], sort=False):
        found = panel.loc[panel["known"], column]
        # as many bins as the root of the images that a histogram shows
        images = len(found) / panel[["step", "split"]].drop_duplicates().shape[0]
        num_bins = int(np.clip(round(images**0.5), FEWEST_BINS, MOST_BINS))
        edges = np.linspace(0, found.max() if len(found) and found.max() > 0 else 1.0, num_bins + 1)
        for (step, split), part in panel.groupby(["step", "split"], sort=False):
            for subset in LABELS:
                chosen = part[part["correct"] == (subset == "correct")]
                values = chosen.loc[chosen["known"], column]
                counts, _ = np.histogram(values, edges)
                rows.append(
                    pd.DataFrame(
                        {
                            "step": step,
                            "split": split,
                            "norm": norm,
                            "clipped": clipped,
                            "subset": subset,
                            "low": edges[:-1],
                            "high": edges[1:],
                            "count": counts,
                            "share": counts / max(len(values), 1),
                            "num_found": len(values),
                            "num_images": len(chosen),
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True)


def _histogram_figure(drawn: pd.DataFrame, title: str, label: str) -> Figure:
    panels = list(drawn[["norm", "clipped"]].drop_duplicates().itertuples(index=False, name=None))
    splits = list(drawn["split"].unique())
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.6 * max(len(panels), 1.4), 2.5 * len(splits) + 0.6), layout="constrained")
        axes = figure.subplots(len(splits), len(panels), squeeze=False, sharex="col")
        for row, split in zip(axes, splits, strict=True):
            for axis, (norm, clipped) in zip(row, panels, strict=True):
                chosen = (drawn["split"] == split) & (drawn["norm"] == norm) & (drawn["clipped"] == clipped)
                _histograms(axis, drawn[chosen])
            row[0].set_ylabel(f"{split}: share of images")
        for axis, (norm, clipped) in zip(axes[-1], panels, strict=True):
            where = ", inside the box" if clipped else ""
            axis.set_xlabel(f"{NORM_LABELS[norm]} {label}{where}\n(pixel units of [0, 1])")
        figure.suptitle(title, fontsize=10.5)
    return figure


def _histograms(axis: Axes, bins: pd.DataFrame) -> None:
    for colour, subset in zip(COLOURS, LABELS, strict=False):
        part = bins[bins["subset"] == subset]
        found, images = part["num_found"].iloc[0], part["num_images"].iloc[0]
        edges = [*part["low"], part["high"].iloc[-1]]
        if FILL[subset]:
            axis.stairs(part["share"], edges, fill=True, color=colour, alpha=FILL[subset])
        lost = f" of {images}" if found < images else ""
        label = f"{LABELS[subset]}, n = {found}{lost}"
        axis.stairs(part["share"], edges, color=colour, linewidth=1.3, label=label)
    axis.set_xlim(0, bins["high"].max())
    axis.set_ylim(bottom=0)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    axis.set_axisbelow(True)


FIGURES = (
    Drawing(
        "estimators",
        "main runs with probe.margin.beside=[<estimators>], or checked: bdry margin run=<run> check=[<estimators>]",
        ("margins", "estimator_check"),
        each(estimators_data, _estimators_figure, ESTIMATORS_WHAT, by=["dataset", "arch", "training_label"]),
    ),
)
