"""Figure `embedding`: borderline instances among the features of both classes, with both planes (figures 4 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .looks import Look, closest_looks, keep

MARKERS = {"train": (".", 0.25), "test": ("+", 0.6), "borderline_s": ("o", 0.8), "borderline_t": ("^", 0.8)}
LINES = {"own": ("-", "the classifier's own plane"), "svm": ((0, (4, 1.5)), "the SVM's plane")}
WHAT = (
    "Features in the first two principal components of the training features of both classes: train faint, test, and "
    "borderline instances of both directions, at most 300 of each. Lines: where the classifier's own plane and that of "
    "the linear SVM cut these two dimensions; a point on the own plane in feature space need not lie on its line here. "
    "One seed."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture, of one seed's first pairs."""
    paths = []
    for look in closest_looks(records):
        drawn = drawn_data(look)
        if len(drawn):
            paths += keep("embedding", look.title, _figure(drawn, look), drawn, records, folder, WHAT)
    return paths


def drawn_data(look: Look) -> pd.DataFrame:
    """The points drawn: a row a feature."""
    found, parts = look.pictures, []
    for name in _names(found):
        s, t = name.split("-")
        for split in MARKERS:
            points, is_target = (found[f"embedding {name} {split}{end}"] for end in ("", " is_target"))
            parts.append(
                pd.DataFrame(
                    {"source": int(s), "target": int(t), "split": split, "is_target": is_target}
                    | {"u": points[:, 0], "v": points[:, 1]}
                )
            )
    return pd.concat(parts, ignore_index=True).assign(**look.record.identity) if parts else pd.DataFrame()


def _names(found: dict[str, np.ndarray]) -> list[str]:
    return [key.split()[1] for key in found if key.startswith("embedding ") and key.endswith(" train")]


def _figure(drawn: pd.DataFrame, look: Look) -> Figure:
    found = look.pictures
    names = _names(found)
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.6 * columns, 5.4), 3.4 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat[len(names) :]:
            place.set_visible(False)
        for place, name in zip(axes.flat, names, strict=False):
            s, t = name.split("-")
            _points(place, drawn[(drawn["source"] == int(s)) & (drawn["target"] == int(t))])
            _lines(place, found, name)
            place.set_title(f"classes {s} and {t}")
            place.set_xlabel("first component")
            place.set_ylabel("second component")
        figure.suptitle(f"embedding: {look.title}", fontsize=10.5)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _points(axis: Axes, points: pd.DataFrame) -> None:
    for split, (marker, alpha) in MARKERS.items():
        for is_target in (False, True):
            part = points[(points["split"] == split) & (points["is_target"] == is_target)]
            if part.empty:
                continue
            label, colour = f"{split}, {'t' if is_target else 's'}", COLOURS[int(is_target)]
            if split.startswith("borderline"):
                label, colour = f"borderline, from {split[-1]}", COLOURS[3 if is_target else 2]
            axis.scatter(
                part["u"], part["v"], s=14, marker=marker, alpha=alpha, color=colour, label=label, linewidths=0.7
            )


def _lines(axis: Axes, found: dict[str, np.ndarray], name: str) -> None:
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for kind, (style, label) in LINES.items():
        key = f"embedding {name} {kind}"
        if key not in found or not found[key][:2].any():
            continue
        a, b, c = found[key]
        foot = -c * np.array([a, b]) / (a * a + b * b)
        along = np.array([-b, a]) / np.hypot(a, b) * 10 * np.hypot(right - left, top - bottom)
        ends = np.stack([foot - along, foot + along])
        axis.plot(ends[:, 0], ends[:, 1], color="#000000", linestyle=style, linewidth=1.2, label=label)
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
