"""Figure `pairs`: heat maps over all ordered pairs of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ...runs import RunRecord
from ..style import RC
from .looks import PAIR, experiments, keep, main_alpha, rows_of

# value -> how a panel calls it
PANELS = {
    "success_rate": "success rate",
    "gain": "success rate, DeepDIG − RPBS",
    "distance_median": "median $\\ell_2$ distance to the source\n(pixel units of [0, 1])",
    "flips": "label flips a segment, T = {grid}",
    "hysteresis": "hysteresis flips a segment",
    "err": "error of the SVM on borderline\ninstances (EDC2), both directions",
}
WHAT = (
    "DeepDIG on ordered pairs of classes, mean over seeds; rows: source class, columns: target class. White: not "
    "measured, or no borderline instance. Flips are to be read against 0.5, what a plane has."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture."""
    return [
        path
        for title, drawn in experiments(drawn_data(records))
        for path in keep("pairs", title, _figure(drawn, title), drawn, records, folder, WHAT)
    ]


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: a row an ordered pair, means over seeds."""
    keys = ["dataset", "arch", "run", *PAIR]
    generation = main_alpha(rows_of(records, "generation"))
    if generation.empty:
        return generation
    ours, random = (generation[generation["method"] == name] for name in ("deepdig", "rpbs"))
    drawn = ours.groupby(keys)[["success_rate", "distance_median"]].mean()
    drawn["gain"] = drawn["success_rate"] - random.groupby(keys)["success_rate"].mean()
    idc = main_alpha(rows_of(records, "idc"))
    idc = idc[(idc["method"] == "deepdig") & (idc["grid"] == _usual_grid(idc))]
    drawn = drawn.join(idc.groupby(keys)[["flips", "hysteresis"]].mean())
    edc = rows_of(records, "edc")
    edc = edc[(edc["plane"] == "svm") & (edc["split"] == "borderline")]
    swapped = edc.rename(columns={"source": "target", "target": "source"})
    both = pd.concat([edc, swapped], ignore_index=True)
    drawn = drawn.join(both.groupby(keys)["err"].mean())
    drawn["num_seeds"] = ours.groupby(keys)["seed"].nunique()
    return drawn.reset_index().assign(grid=_usual_grid(idc))


def _usual_grid(idc: pd.DataFrame) -> int:
    """The grid that most pairs have."""
    return int(idc["grid"].mode().iloc[-1]) if len(idc) else 0


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    size = int(drawn[PAIR].to_numpy().max()) + 1
    shown = [name for name in PANELS if drawn[name].notna().any()]
    columns = min(3, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = Figure(figsize=(3.4 * columns, 3.1 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat[len(shown) :]:
            place.set_visible(False)
        for place, name in zip(axes.flat, shown, strict=False):
            values = np.full((size, size), np.nan)
            values[drawn["source"], drawn["target"]] = drawn[name]
            colours, low, high = ("viridis", None, None)
            if name == "gain":
                high = float(np.nanmax(np.abs(values))) or 1.0
                colours, low = "RdBu", -high
            image = place.imshow(values, cmap=colours, vmin=low, vmax=high)
            figure.colorbar(image, ax=place, shrink=0.85)
            _numbers(place, values)
            place.set_title(PANELS[name].format(grid=drawn["grid"].iloc[0]))
            place.set_xticks(range(size))
            place.set_yticks(range(size))
            place.set_xlabel("target class")
            place.set_ylabel("source class")
        figure.suptitle(f"pairs: {title}", fontsize=10.5)
    return figure


def _numbers(axis: Axes, values: np.ndarray) -> None:
    """Each cell's value in it."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            outline = [withStroke(linewidth=1.2, foreground="white")]
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=5, path_effects=outline)
