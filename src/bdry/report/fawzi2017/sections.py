"""Figure `sections`: the predicted classes in planes around boundary points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...runs import RunRecord
from ..style import RC
from .pictures import Arrays, picture_grid, save_of_each_series
from .sources import Source

PLANES = {"max": "most positive", "min": "most negative", "random": "random"}
SIDES = {"the image's class": "#9ecae9", "the class beyond": "#f7b98b", "another class": "#dddddd"}
WHAT = (
    "Predicted class in planes through a boundary point nearest to an image (the cross), a row an image: upwards the "
    "normal, towards the image's class; to the right the tangent of the largest, of the smallest curvature kappa (that "
    "of the figure's first method) and a random one. Curvature kappa bends the boundary down by kappa x^2 / 2 (the "
    "line), near the point or at the scale of the method."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and training with the arrays `curvature_sections`."""
    return save_of_each_series("sections", records, folder, "boundary", "curvature_sections", drawn_data, _figure, WHAT)


def drawn_data(source: Source, planes: Arrays) -> pd.DataFrame:
    """A row a picture: image, plane, curvature along its tangent (nan for the random one) and shares of the sides."""
    rows = []
    for row, index in enumerate(planes["index"]):
        for name in PLANES:
            side = _sides(planes, name, row)
            curvature = planes[f"k{name}"][row] if name != "random" else np.nan
            shares = {side_name: float((side == number).mean()) for number, side_name in enumerate(SIDES)}
            rows.append({"row": row, "index": int(index), "plane": name, "curvature": float(curvature), **shares})
    return pd.DataFrame(rows)


def _sides(planes: Arrays, name: str, row: int) -> np.ndarray:
    """0, 1, 2 for the image's class, the class beyond and any other, along the normal and the tangent."""
    labels = planes[name][row]
    return np.where(labels == planes["own"][row], 0, np.where(labels == planes["other"][row], 1, 2))


def _figure(drawn: pd.DataFrame, planes: Arrays, title: str) -> Figure:
    end = float(planes["axis"][-1])
    across = np.linspace(-end, end, 201)
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(planes["index"]), len(PLANES), title, size=1.9, legend=0.3)
        for picture in drawn.itertuples():
            place = axes[picture.row][list(PLANES).index(str(picture.plane))]
            place.imshow(
                _sides(planes, str(picture.plane), picture.row),
                origin="lower",
                extent=(-end, end, -end, end),
                cmap=ListedColormap(list(SIDES.values())),
                vmin=0,
                vmax=len(SIDES) - 1,
                interpolation="nearest",
            )
            place.grid(visible=False)
            place.plot(0, 0, marker="+", color="#000000", markersize=6)
            curve = "" if np.isnan(picture.curvature) else f", kappa = {round(picture.curvature, 6):.2g}"
            if curve:
                parabola = -picture.curvature * across**2 / 2
                place.plot(across, np.where(abs(parabola) < end, parabola, np.nan), color="#000000", linewidth=0.7)
            place.set_title(f"{PLANES[str(picture.plane)]}{curve}", fontsize=7.5)
            place.tick_params(labelsize=6.5)
            if picture.plane == "max":
                place.set_ylabel(f"image {picture.index}\nnormal", fontsize=7.5)
        for place in axes[-1]:
            place.set_xlabel("tangent (pixel units)", fontsize=7.5)
        handles = [Patch(color=colour) for colour in SIDES.values()]
        figure.legend(handles, list(SIDES), loc="outside lower center", ncols=3)
    return figure
