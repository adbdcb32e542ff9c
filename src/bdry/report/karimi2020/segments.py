"""Figure `segments`: the predicted class and both probabilities along single segments between borderline instances."""

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
from .looks import Look, arrow, closest_looks, detailed_pairs, keep

MOST_SEGMENTS = 4
CLASS_COLOURS = {"source class": COLOURS[0], "target class": COLOURS[1], "a third class": "#000000"}
WHAT = (
    "Along single segments between random borderline instances of DeepDIG: the predicted class (ribbon) and p_s, p_t. "
    "Both ends lie on the boundary, hence what class they have is chance. One seed."
)


def draw(records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws the figure for each data set and architecture, of one seed's first directions."""
    paths = []
    for look in closest_looks(records):
        drawn = drawn_data(look)
        if len(drawn):
            paths += keep("segments", look.title, _figure(drawn, look.title), drawn, records, folder, WHAT)
    return paths


def drawn_data(look: Look) -> pd.DataFrame:
    """The points drawn: a row a direction, segment and place `at` along it, from 0 to 1."""
    found, parts = look.pictures, []
    for s, t in detailed_pairs(look):
        label = found.get(f"profiles {s}-{t} label", np.zeros((0, 0)))
        for number in range(min(len(label), MOST_SEGMENTS)):
            columns = {name: found[f"profiles {s}-{t} {name}"][number] for name in ("label", "p_source", "p_target")}
            length = found[f"profiles {s}-{t} length"][number]
            about = {"source": s, "target": t, "segment": number, "length": length}
            parts.append(pd.DataFrame({"at": np.linspace(0, 1, label.shape[1])} | columns).assign(**about))
    return pd.concat(parts, ignore_index=True).assign(**look.record.identity) if parts else pd.DataFrame()


def _figure(drawn: pd.DataFrame, title: str) -> Figure:
    directions = list(drawn.groupby(["source", "target"]))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(max(3.6 * len(directions), 4.6), 1.25 * MOST_SEGMENTS + 1.1), layout="constrained")
        axes = figure.subplots(MOST_SEGMENTS, len(directions), squeeze=False, sharex=True, sharey=True)
        for column, ((s, t), part) in enumerate(directions):
            axes[0, column].set_title(arrow(s, t))
            for row in range(MOST_SEGMENTS):
                segment = part[part["segment"] == row]
                if segment.empty:
                    axes[row, column].set_visible(False)
                    continue
                _segment(axes[row, column], segment, s, t)
        axes[0, 0].set_ylabel("probability")
        for place in axes[-1]:
            place.set_xlabel("place along the segment")
        figure.suptitle(f"segments: {title}", fontsize=10.5)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        handles += [matplotlib.patches.Patch(color=colour) for colour in CLASS_COLOURS.values()]
        figure.legend(handles, [*labels, *CLASS_COLOURS], loc="outside lower center", ncols=5)
    return figure


def _segment(axis: Axes, segment: pd.DataFrame, s: int, t: int) -> None:
    axis.plot(segment["at"], segment["p_source"], color=COLOURS[0], linewidth=1.2, label="p_s")
    axis.plot(segment["at"], segment["p_target"], color=COLOURS[1], linewidth=1.2, label="p_t")
    label = segment["label"].to_numpy()
    kinds = np.select([label == s, label == t], [0, 1], 2)
    colours = [matplotlib.colors.to_rgb(colour) for colour in CLASS_COLOURS.values()]
    ribbon = np.array(colours)[kinds][None]
    axis.imshow(ribbon, extent=(0, 1, 1.06, 1.22), aspect="auto", interpolation="nearest")
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.03, 1.22)
    axis.set_yticks([0, 0.5, 1])
