"""Figures `margin_histograms` and `pair_angles`: margins of all samples, and angles of all pairs of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runs import RunRecord
from ..style import COLOURS, RC
from .rows import STAGES, Look, identified, keep, looks

BINS = 40
HISTOGRAMS = (
    "Smallest pair margin of each training image over the norm of [W b], of the network's last layer and of S1 on the "
    "same features, at the last moment measured; the dashed line is S1's smallest, the largest that any layer has."
)
ANGLES = (
    "Angle between w_i - w_j of the last layer and of S1 on the same features, degrees, for each pair of classes, at "
    "the last moment measured."
)


def draw_histograms(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `margin_histograms` for the first seed of each experiment."""
    return _draw("margin_histograms", "margins_s1", _bins, _histograms, HISTOGRAMS, records, folder)


def draw_pair_angles(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws `pair_angles` for the first seed of each experiment with three classes or more."""
    return _draw("pair_angles", "pair_angles", _pairs, _heat, ANGLES, records, folder)


def _draw(
    name: str,
    needed: str,
    data: Callable[[Look], pd.DataFrame],
    figure: Callable[[pd.DataFrame, str], Figure],
    what: str,
    records: Sequence[RunRecord],
    folder: Path,
) -> list[Path]:
    paths: list[Path] = []
    for found in looks(records):
        parts = [identified(look, data(look)) for look in found if needed in look.arrays]
        drawn = pd.concat(parts) if parts else pd.DataFrame()
        if len(drawn):
            identity = found[0].record.identity
            title = f"{identity['dataset']}, {identity['study']}, seed {identity['seed']}"
            made = figure(drawn, f"{name}: {title}")
            paths += keep(f"{name}-{identity['run']}", title, made, drawn, records, folder, what)
    return paths


def _bins(look: Look) -> pd.DataFrame:
    """A row a bin: low and high edge, share of images in it, and the smallest margin of all."""
    both = {name: look.arrays[f"margins_{name}"] for name in ("nn", "s1")}
    together = np.concatenate(list(both.values()))
    edges = np.linspace(together.min(), together.max(), BINS + 1)
    parts = []
    for name, values in both.items():
        counts, _ = np.histogram(values, edges)
        about = {"layer": name, "low": edges[:-1], "high": edges[1:], "share": counts / len(values)}
        parts.append(pd.DataFrame(about).assign(smallest=values.min(), num_images=len(values)))
    return pd.concat(parts, ignore_index=True)


def _histograms(drawn: pd.DataFrame, title: str) -> Figure:
    stages = [stage for stage in STAGES if (drawn["stage"] == stage).any()]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.7 * max(len(stages), 1.3), 3.3), layout="constrained")
        axes = figure.subplots(1, len(stages), squeeze=False)[0]
        for axis, stage in zip(axes, stages, strict=True):
            part = drawn[drawn["stage"] == stage]
            for colour, (name, label) in zip(COLOURS, (("nn", "last layer"), ("s1", "S1")), strict=False):
                bins = part[part["layer"] == name]
                edges = [*bins["low"], bins["high"].iloc[-1]]
                axis.stairs(bins["share"], edges, fill=True, color=colour, alpha=0.25)
                axis.stairs(bins["share"], edges, color=colour, linewidth=1.3, label=label)
            axis.axvline(bins["smallest"].iloc[0], color="black", linestyle=(0, (4, 2)), linewidth=0.8)
            axis.set_title(STAGES[stage])
            axis.set_axisbelow(True)
            axis.set_xlabel("margin / norm")
            axis.legend()
        axes[0].set_ylabel("share of training images")
        figure.suptitle(title, fontsize=10.5)
    return figure


def _pairs(look: Look) -> pd.DataFrame:
    angles = look.arrays["pair_angles"]
    if len(angles) < 3:
        return pd.DataFrame()
    i, j = np.indices(angles.shape).reshape(2, -1)
    return pd.DataFrame({"class_i": i, "class_j": j, "angle_deg": angles.ravel()})


def _heat(drawn: pd.DataFrame, title: str) -> Figure:
    stages = [stage for stage in STAGES if (drawn["stage"] == stage).any()]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.6 * len(stages) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(stages), squeeze=False)[0]
        for axis, stage in zip(axes, stages, strict=True):
            part = drawn[drawn["stage"] == stage]
            table = part.pivot(index="class_i", columns="class_j", values="angle_deg").to_numpy()
            image = axis.imshow(table, cmap="viridis", vmin=0)
            small = len(table) > 6
            for (row, column), value in np.ndenumerate(table):
                if row != column and np.isfinite(value):
                    dark = value < 0.6 * np.nanmax(table)
                    text = f"{value:.0f}" if np.nanmax(table) >= 10 else f"{value:.1f}"
                    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 5.5 if small else 8}
                    axis.text(column, row, text, color="white" if dark else "black", **style)
            axis.grid(visible=False)
            axis.set_xticks(range(len(table)))
            axis.set_yticks(range(len(table)))
            axis.set_title(STAGES[stage])
            axis.set_xlabel("class")
            figure.colorbar(image, ax=axis, shrink=0.8, label="degrees")
        axes[0].set_ylabel("class")
        figure.suptitle(title, fontsize=10.5)
    return figure
