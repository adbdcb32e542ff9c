"""Figure R2: mean margin of correctly classified and of misclassified images over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..captions import save_each
from ..curves import Legend, margin_panel, norms_in, over_epochs
from ..points import EXPERIMENT, FEWEST_IMAGES, in_order, margin_points, of_study, over_seeds, series

SPLITS = {"train": 0, "test": 1}
SUBSETS = {"correct": "correct", "incorrect": "misclassified"}
WHAT = "Mean margin of correctly classified and of misclassified images over training, by norm and training."


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws R2 for each data set and architecture."""
    cells = _cells(records)
    drawn = cells[~cells["too_few"]].drop(columns="too_few")
    return save_each("R2", drawn, records, folder, _figure, WHAT, notes=lambda part: _left_out(cells, part))


def drawn_data(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Exactly what the figure draws: columns of `points.over_seeds`, series `correct` and `misclassified`.

    A point is left out where a seed has fewer than 20 images in it: seeds would otherwise come and go within a curve.
    """
    cells = _cells(records)
    return cells[~cells["too_few"]].drop(columns="too_few")


def _cells(records: Sequence[RunRecord]) -> pd.DataFrame:
    main = of_study(records, "main")
    points = pd.concat(
        [margin_points(main, subset).assign(series=name) for subset, name in SUBSETS.items()], ignore_index=True
    )
    points["training_label"] = series(points)
    points["adv_eps"] = float("nan")
    cells = over_seeds(points, [*EXPERIMENT, "training_label", "series", "panel", "split"])
    return cells.assign(too_few=cells["num_images"] < FEWEST_IMAGES)


def _left_out(cells: pd.DataFrame, part: pd.DataFrame) -> str:
    """Which cells of the figure that shows `part` had too few images."""
    dropped = cells[cells["too_few"] & cells["run"].isin(part["run"])]
    phrases = []
    for (training, split, name), cell in dropped.groupby(["training_label", "split", "series"], sort=True):
        epochs = sorted(cell["epoch"].unique())
        phrases.append(f"{training}, {split} {name} at epoch {', '.join(f'{epoch:.3g}' for epoch in epochs)}")
    if not phrases:
        return ""
    return f"Left out, with fewer than {FEWEST_IMAGES} images in a seed: {'; '.join(phrases)}."


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    norms, trainings = norms_in(drawn["panel"]), in_order(drawn["training_label"])
    layout = [[margin_panel(norm, f"{name} {norm}", name) for norm in norms] for name in trainings]
    placed = drawn.assign(panel=drawn["training_label"] + " " + drawn["panel"])
    return over_epochs(placed, layout, Legend(list(SUBSETS.values()), "split", SPLITS), title)
