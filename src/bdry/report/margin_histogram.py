"""Figure `margin_histogram`: how the margins of correctly and of wrongly classified images are distributed.

One figure a measured checkpoint: a column a norm and box, a row a split. The bins of a column are the same in every
row and figure.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import COLOURS, NORM_LABELS, RC, save

NAME = "margin_histogram"
FEWEST_BINS, MOST_BINS = 10, 40
LABELS = {"correct": "correct", "incorrect": "misclassified"}
FILL = {"correct": 0.18, "incorrect": 0.0}


def draw(margins: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Draws a figure for each step in the table `margins`; the files written (PNG, PDF and CSV)."""
    paths = []
    for step, part in drawn_data(margins).groupby("step"):
        epoch = margins.loc[margins["step"] == step, "epoch"].iloc[0]
        when = f"step {step}, epoch {epoch:.3g}" if margins["step"].max() > 0 else ""
        figure = _figure(part, ", ".join(filter(None, [title, when])))
        paths += save(figure, part, folder / f"{NAME}-step={step:08d}")
    return paths


def drawn_data(margins: pd.DataFrame) -> pd.DataFrame:
    """Exactly what the figures draw: a row a bin of a histogram.

    low, high: the bin's edges, in pixel units of [0, 1]. count: margins in it. share: count / num_found, 0 where
    there are none. num_found, num_images: images of the histogram with a margin, and all of them.
    """
    rows = []
    for (norm, clipped), panel in margins.groupby(["norm", "clipped"], sort=False):
        found = panel.loc[panel["success"], "margin"]
        # as many bins as the root of the images that a histogram shows
        images = len(found) / panel[["step", "split"]].drop_duplicates().shape[0]
        num_bins = int(np.clip(round(images**0.5), FEWEST_BINS, MOST_BINS))
        edges = np.linspace(0, found.max() if len(found) and found.max() > 0 else 1.0, num_bins + 1)
        for (step, split), part in panel.groupby(["step", "split"], sort=False):
            for subset in LABELS:
                chosen = part[part["correct"] == (subset == "correct")]
                values = chosen.loc[chosen["success"], "margin"]
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


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
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
            axis.set_xlabel(f"{NORM_LABELS[norm]} margin{where}\n(pixel units of [0, 1])")
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
