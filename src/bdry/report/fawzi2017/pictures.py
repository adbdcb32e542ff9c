"""Pictures of single runs: what figures made of arrays have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ...runs.files import file_name
from ..captions import describe_runs
from ..style import save, shown
from .sources import Source, last_moment_sources

Arrays = dict[str, np.ndarray]


def save_of_each_series(
    name: str,
    records: Sequence[RunRecord],
    folder: Path,
    table: str,
    arrays: str,
    drawn_data: Callable[[Source, Arrays], pd.DataFrame],
    figure: Callable[[pd.DataFrame, Arrays, str], Figure],
    what: str,
) -> list[Path]:
    """Draws and saves a figure for each data set, architecture and series: of its smallest seed with the arrays.

    drawn_data: the rows of the CSV file beside the picture, which have no room for the images themselves.
    """
    chosen: dict[tuple[str, ...], tuple[Source, Arrays]] = {}
    for source in sorted(last_moment_sources(records, table), key=lambda source: source.record.identity["seed"]):
        found = source.arrays(arrays)
        if found is not None:
            about = source.rows.iloc[0]
            chosen.setdefault((about["dataset"], about["arch"], about["series"]), (source, found))
    paths = []
    for (dataset, arch, series), (source, found) in sorted(chosen.items(), key=lambda item: item[0]):
        drawn = drawn_data(source, found)
        if drawn.empty:
            continue
        title = f"{name}: {dataset}, {arch}, {series}"
        stem = file_name(name, dataset, arch, *series.split(", "))
        text = "\n".join([f"**{title}.** {what} One seed.", "", *describe_runs([source.record])]) + "\n"
        paths += save(figure(drawn, found, title), drawn, folder / stem, text)
    return paths


def picture_grid(rows: int, columns: int, title: str, *, size: float, legend: float = 0.0) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns square pictures of `size` inches, and room for a legend below."""
    figure = Figure(figsize=(size * columns + 1.2, size * rows + 0.5 + legend), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(shown(title), fontsize=9.5)
    return figure, axes


def show_image(axis: Axes, image: np.ndarray) -> None:
    """An image (C, H, W), clipped to [0, 1], grey or in colour, without ticks."""
    clipped = np.clip(image, 0, 1)
    if clipped.shape[0] == 3:
        axis.imshow(clipped.transpose(1, 2, 0), interpolation="nearest")
    else:
        axis.imshow(clipped[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
