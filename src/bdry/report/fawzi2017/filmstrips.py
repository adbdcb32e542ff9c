"""Figure `filmstrips`: images along the paths found inside regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import RC
from .paths import SCENARIOS
from .pictures import Arrays, picture_grid, save_of_each_series, show_image
from .sources import Source

COLUMNS = ["scenario", "strip", "pair", "label", "index1", "index2", "straight", "num_anchors", "relative_length"]
MOST = 3
WHAT = (
    "Images at equal distances along paths inside the region of one predicted class, the first pairs of each scenario "
    "with a path found; left and right the two ends. Pixels are clipped to [0, 1] for the picture alone."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set, architecture and training with the arrays `films`."""
    return save_of_each_series("filmstrips", records, folder, "paths", "films", drawn_data, _figure, WHAT)


def drawn_data(source: Source, films: Arrays) -> pd.DataFrame:
    """The rows of table `paths` that are drawn; strip: the film's number in the arrays."""
    parts = []
    for scenario in SCENARIOS:
        if scenario in films:
            kept = pd.DataFrame({"pair": films[f"{scenario}-pair"][:MOST]})
            kept = kept.assign(scenario=scenario, strip=range(len(kept)))
            parts.append(kept.merge(source.last, on=["scenario", "pair"]))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _figure(drawn: pd.DataFrame, films: Arrays, title: str) -> Figure:
    length = next(iter(films.values())).shape[1]
    with matplotlib.rc_context(RC):
        figure, axes = picture_grid(len(drawn), length, title, size=0.75)
        for row, strip in zip(axes, drawn.itertuples(), strict=True):
            for place, image in zip(row, films[str(strip.scenario)][strip.strip], strict=True):
                show_image(place, image)
            anchors = "straight" if strip.straight else f"{strip.num_anchors} anchors"
            text = f"{strip.scenario}\n{anchors}\nD = {strip.relative_length:.4f}"
            row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=7)
    return figure
