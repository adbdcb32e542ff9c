"""Curves with bands in a grid of panels: how every figure over training looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from .style import COLOURS, NORM_LABELS, RC, most_columns, shown
from .traces import keep_numbers, line

LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
MARKERS = "os^DvP*X"
SPLITS = {"train": 0, "test": 1}
MOST_MARKERS = 20
FEWEST_TICKS = 3
# a level that curves are read against
LEVEL: dict[str, Any] = {"color": "#888888", "linewidth": 0.9, "linestyle": "--"}
# a band goes on beyond a panel's upper end, which is at most this many times the highest curve
MUCH = 1.25
# how many times the highest value of all later moments one at initialisation is for the axis to leave it out
FAR = 10.0
# the ratio of an axis' ends up to which numbers are plain
FEW_DECADES = 60


@dataclass(frozen=True)
class Panel:
    """One panel of a figure: the rows whose column `panel` is `name`, what its axes say and where they end."""

    name: str
    ylabel: str
    title: str = ""
    bottom: float | None = 0
    top: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Legend:
    """Which curves there are: the colour tells the column `series`, the line style the column named `line`.

    series: in order. lines: a value of that column -> number of its line style; values that never meet in a panel may
    share one. Without `line` all curves are solid and each series has its own marker.
    """

    series: Sequence[str]
    line: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    def style(self, series: str, line: str = "") -> dict[str, Any]:
        """Colour, line and marker of a curve."""
        number, kind = self.series.index(series), self.lines.get(line, 0)
        marker = MARKERS[(kind if self.lines else number) % len(MARKERS)]
        colour = COLOURS[number % len(COLOURS)]
        return {"color": colour, "linestyle": LINES[kind], "marker": marker, "markersize": 3}

    def entries(self) -> dict[str, dict[str, Any]]:
        """The legend's labels with their styles: one a series, then one a line style."""
        if not self.lines:
            return {shown(name): self.style(name) for name in self.series}
        colours = {}
        if len(self.series) > 1:
            colours = {shown(name): self.style(name) | {"marker": "", "linewidth": 3.0} for name in self.series}
        lines = {}
        for kind in sorted(set(self.lines.values())):
            names = [name for name, other in self.lines.items() if other == kind]
            style = self.style(self.series[0], names[0])
            lines["; ".join(names)] = style | ({"color": "#555555"} if colours else {})
        return colours | lines


def margin_panel(norm: str, name: str = "", title: str = "") -> Panel:
    """A panel of mean margins in a norm."""
    return Panel(name or norm, f"mean {NORM_LABELS[norm]} margin\n(pixel units of [0, 1])", title)


def share_panel(name: str, ylabel: str, title: str = "") -> Panel:
    """A panel of shares, from 0 to 1."""
    return Panel(name, ylabel, title, bottom=-0.02, top=1.02)


def lines_in(lines: Mapping[str, int], values: pd.Series) -> dict[str, int]:
    """Those line styles of which `values` has the name: a legend names no curve that is not there."""
    return {name: number for name, number in lines.items() if (values == name).any()}


def by_split(series: Sequence[str], drawn: pd.DataFrame) -> Legend:
    """A colour for each of `series` and a line style for each split that is drawn."""
    return Legend(series, "split", lines_in(SPLITS, drawn["split"]))


def norms_in(panels: pd.Series) -> list[str]:
    """The norms among the names of panels, in the order of the columns."""
    return [norm for norm in NORM_LABELS if (panels == norm).any()]


def over_epochs(drawn: pd.DataFrame, layout: Sequence[Sequence[Panel | None]], legend: Legend, title: str) -> Figure:
    """A grid of panels over a shared epoch axis; None leaves a place free."""
    with matplotlib.rc_context(RC):
        figure, axes = grid(layout, title, sharex=True)
        for place, panel in axes:
            plot(place, drawn[drawn["panel"] == panel.name], legend, panel)
            epoch_axis(place, drawn["epoch"])
            place.tick_params(labelbottom=True)
            place.set_xlabel("epoch")
        add_legend(figure, legend)
    return figure


def grid(
    layout: Sequence[Sequence[Panel | None]], title: str, *, sharex: bool = False
) -> tuple[Figure, list[tuple[Axes, Panel]]]:
    """A figure with an axis for each panel of the layout's rows, labelled and limited."""
    columns = max(len(row) for row in layout)
    width = max(3.4 * columns, 4.6)
    figure = Figure(figsize=(width, 2.5 * len(layout) + 0.9), layout="constrained")
    axes = figure.subplots(len(layout), columns, squeeze=False, sharex=sharex)
    found = []
    for row, places in zip(layout, axes, strict=True):
        for place, panel in zip(places, [*row, *[None] * (columns - len(row))], strict=True):
            if panel is None:
                place.set_visible(False)
                continue
            place.set_ylabel(panel.ylabel)
            place.set_title(shown(panel.title))
            if panel.log:
                place.set_yscale("log")
            found.append((place, panel))
    figure.suptitle(shown(title), fontsize=10.5)
    return figure, found


def plot(axis: Axes, points: pd.DataFrame, legend: Legend, panel: Panel, x: str = "epoch") -> None:
    """The curves of one panel, with their bands, certified lower bounds and the radii trained against."""
    groups = points.sort_values(x).groupby(["series", legend.line] if legend.line else ["series"])
    for key, curve in sorted(groups, key=lambda item: legend.series.index(item[0][0])):
        style = legend.style(*key)
        if len(curve) > MOST_MARKERS:
            style["marker"] = ""
        name = shown(", ".join(map(str, key)))
        ends = {end: curve[end] for end in ("low", "high")} if curve["low"].notna().any() else {}
        line(axis, name, curve[x], curve["value"], **ends, **style)
        if curve["lower_bound"].notna().any():
            thin = style | {"linewidth": 0.7, "marker": ""}
            line(axis, f"{name}, lower bound", curve[x], curve["lower_bound"], **thin)
    # after the curves: matplotlib fixes a limit at what is drawn by then
    _radii(axis, points, legend, x)
    axis.set_ylim(bottom=None if panel.log else panel.bottom, top=panel.top)
    if panel.top is not None or panel.log:
        return
    levels = ["value", "lower_bound", "adv_eps"]
    highest = points[levels].max().max()
    later = points.loc[points["epoch"] > 0, levels].max().max() if x == "epoch" else highest
    if 0 < FAR * later < highest:
        # margins of an untrained network would press those of all later moments onto the axis
        axis.set_ylim(top=MUCH * later)
        _say_above(axis, points.loc[points["epoch"] <= 0, "value"])
    elif 0 < MUCH * highest < points["high"].max():
        axis.set_ylim(top=MUCH * highest)


def _say_above(axis: Axes, values: pd.Series) -> None:
    low, high = (f"{value:.2g}" for value in (values.min(), values.max()))
    text = f"$\\uparrow$ {low if low == high else f'{low} to {high}'} at initialisation"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    axis.annotate(text, (0.03, 0.97), xycoords="axes fraction", va="top", fontsize=7.5, bbox=box)


def same_scale(places: Sequence[Axes]) -> None:
    """One y axis for panels whose values are compared: the widest that any of them has. To be called after plotting."""
    limits = [place.get_ylim() for place in places]
    for place in places:
        place.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _radii(axis: Axes, points: pd.DataFrame, legend: Legend, x: str) -> None:
    for (name, eps), _ in points.dropna(subset=["adv_eps"]).groupby(["series", "adv_eps"]):
        colour = COLOURS[legend.series.index(name) % len(COLOURS)]
        style: dict[str, Any] = {"color": colour, "linewidth": 0.9, "linestyle": (0, (7, 3))}
        axis.axhline(eps, **style)
        keep_numbers(axis, f"eps of {shown(name)}", [points[x].min(), points[x].max()], [eps, eps], **style)
        where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 7.5}
        axis.annotate(f" eps\n {eps:.3g}", (1.0, eps), color=colour, **where)


def epoch_axis(axis: Axes, epochs: pd.Series, factors: Sequence[int] = (1, 3)) -> None:
    """Logarithmic from the first moment after initialisation, which itself stands at 0 on the left.

    factors: which multiples of powers of ten have a label, where these are not too few.
    """
    after = epochs[epochs > 0]
    if after.empty:
        axis.set_xticks([0])
        return
    first, last = float(after.min()), float(epochs.max())
    axis.set_xscale("symlog", linthresh=first, linscale=0.3)
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    for labelled in (factors, (1, 2, 5), (1, 2, 3, 4, 5, 7)):
        ticks = [tick for decade in decades for factor in labelled if first <= (tick := factor * 10.0**decade) <= last]
        if len(ticks) >= FEWEST_TICKS:
            break
    axis.set_xticks([0, *ticks])
    axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlim(-0.15 * first, last * 1.08)


def log_ticks(axis: Axes, values: Iterable[float], form: str = "{:g}") -> None:
    """A logarithmic x axis with a tick at each of these values and none beside."""
    ticks = sorted(set(values))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [form.format(tick) for tick in ticks])
    axis.set_xticks([], minor=True)


def log_labels(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis that spans few of them, powers of ten on others; none touches the next.

    To be called once the axis has its limits.
    """
    low, high = sorted(axis.get_view_interval())
    if high / low > FEW_DECADES:
        axis.set_minor_formatter(NullFormatter())
        return
    axis.set_major_locator(MaxNLocator(5) if high / low < 5 else LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def add_legend(figure: Figure, legend: Legend, levels: Mapping[str, dict[str, Any]] | None = None) -> None:
    """One legend below all panels.

    levels: further lines by what they are, such as a level that is expected by chance.
    """
    entries = legend.entries() | dict(levels or {})
    if len(entries) < 2 and not legend.lines:
        return
    handles = [Line2D([], [], **style) for style in entries.values()]
    columns = min(len(entries), 5 if max(map(len, entries)) < 18 else 3, most_columns(entries))
    figure.legend(handles, entries, loc="outside lower center", ncols=columns, handlelength=3)
