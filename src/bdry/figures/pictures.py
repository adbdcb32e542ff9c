"""Pictures of single runs: what figures made of arrays have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runs import RunRecord
from ..runs.files import file_name
from ..selection import Ranking, rank
from .captions import describe_runs
from .drawing import Draw
from .networks import series_of
from .points import of_study
from .style import save, shown
from .titles import titled

Arrays = dict[str, np.ndarray]


def each_series(
    table: str,
    arrays: str,
    data: Callable[[pd.DataFrame, Arrays], pd.DataFrame],
    picture: Callable[[pd.DataFrame, Arrays, str], Figure],
    what: str,
) -> Draw:
    """A figure for each data set, architecture and series, of its smallest seed with the arrays.

    Args:
        table: the rows and the arrays come from the best measurement, by `selection`, that has both at its last moment.
        data: from these rows and arrays those of the CSV file beside the picture, which has no room for images.
    """

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        chosen: dict[tuple[str, ...], tuple[RunRecord, pd.DataFrame, Arrays]] = {}
        main = of_study(records, "main")
        names = series_of(main)
        for record, ranking in sorted(
            zip(main, rank(main, table), strict=True), key=lambda one: one[0].identity["seed"]
        ):
            both = _first_with(ranking, table, arrays)
            if both is not None:
                about = record.identity
                place = (about["dataset"], about["arch"], names[about["experiment"]])
                chosen.setdefault(place, (record, *both))
        paths = []
        for (dataset, arch, series), (record, rows, found) in sorted(chosen.items(), key=lambda item: item[0]):
            drawn = data(rows, found)
            if len(drawn):
                of_what = f"{dataset}, {arch}, {series}"
                stem = file_name(name, dataset, arch, *series.split(", "))
                title = titled(name, of_what)
                text = "\n".join([f"**{title}.** {what}", "", *describe_runs([record])]) + "\n"
                paths += save(picture(drawn, found, title), drawn, folder / stem, text)
        return paths

    return draw


def _first_with(ranking: Ranking, table: str, arrays: str) -> tuple[pd.DataFrame, Arrays] | None:
    for source in ranking.sources:
        rows = source.table(table)
        found = source.arrays(arrays, int(rows["step"].max())) if len(rows) else None
        if found is not None:
            return rows[rows["step"] == rows["step"].max()], found
    return None


def picture_grid(rows: int, columns: int, title: str, *, size: float, legend: float = 0.0) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns square pictures of `size` inches, and room for a legend below."""
    figure = Figure(figsize=(size * columns + 1.2, size * rows + 0.5 + legend), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(shown(title), fontsize=9.5)
    return figure, axes


def show_image(axis: Axes, image: np.ndarray) -> None:
    """An image, clipped to [0, 1], grey or in colour, without ticks.

    Args:
        axis: where it is drawn.
        image: (C, H, W), C = 1 or 3; an array, or a tensor on the CPU.
    """
    clipped = np.clip(np.asarray(image), 0, 1)
    if clipped.shape[0] == 3:
        axis.imshow(clipped.transpose(1, 2, 0), interpolation="nearest")
    else:
        axis.imshow(clipped[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
