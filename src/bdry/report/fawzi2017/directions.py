"""Figure `shared_directions`: the shared curved directions as images, beside what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import RC
from .pictures import Arrays, picture_grid, save_of_each_series
from .shared import SUBSPACES
from .sources import Source

ROWS = ("shared", "gradient", "pca", "random")
MOST = 10
WHAT = (
    "The first directions of the shared subspace S, of the smallest perturbations' SVD, of the images' principal "
    "components and of a random basis, as images: red positive, blue negative, each on its own scale; signs are "
    "arbitrary. Channels are averaged. The paper finds the first row like localised Gabor filters."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and training with the arrays `shared_dirs`."""
    return save_of_each_series(
        "shared_directions", records, folder, "shared_rho", "shared_dirs", drawn_data, _figure, WHAT
    )


def drawn_data(source: Source, arrays: Arrays) -> pd.DataFrame:
    """The rows of table `shared_rho` of the directions drawn."""
    columns = ["i", "singular_value", "mean_rho", "num_images", "space_extent", "frequency_extent"]
    return source.last.loc[source.last["i"] <= min(MOST, len(arrays["shared"])), columns]


def _figure(drawn: pd.DataFrame, arrays: Arrays, title: str) -> Figure:
    rho = drawn.set_index("i")["mean_rho"]
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(ROWS), len(drawn), title, size=0.85)
        for row, name in zip(axes, ROWS, strict=True):
            for number, place in enumerate(row):
                if number < len(arrays[name]):
                    _show(place, arrays[name][number])
                else:
                    place.set_axis_off()
                if name == "shared":
                    place.set_title(f"rho {rho[number + 1]:.3g}", fontsize=7)
            label = SUBSPACES[name].replace(", ", ",\n").replace(" of ", "\nof ")
            row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    return figure


def _show(axis: Axes, image: np.ndarray) -> None:
    grey = image.mean(0)
    end = abs(grey).max() or 1.0
    axis.imshow(grey, cmap="RdBu_r", vmin=-end, vmax=end, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
