"""The curves of a figure as plain numbers, for a page whose readers zoom into them and read values off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from .style import COLOURS, plain_text

# dashes of a line in a page's pixels, by matplotlib's names
DASHES = {"-": (), "--": (6.0, 3.0), ":": (1.5, 2.0), "": None}
# matplotlib counts dashes in line widths of 1.6 points
DASH_UNIT = 1.6


@dataclass(frozen=True)
class Trace:
    """A curve: its name, its points in order, the ends of its band where it has one, and matplotlib's style."""

    name: str
    x: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None
    high: npt.NDArray[np.float64] | None
    style: dict[str, Any]


_TRACES: WeakKeyDictionary[Axes, list[Trace]] = WeakKeyDictionary()


def line(
    axis: Axes,
    name: str,
    x: Any,
    value: Any,
    *,
    low: Any = None,
    high: Any = None,
    band: float = 0.13,
    **style: Any,
) -> None:
    """Draws a curve with its band, as matplotlib does, and keeps its numbers for `charts`.

    band: opacity of what lies between `low` and `high`; style: matplotlib's.
    """
    axis.plot(x, value, **style)
    if low is not None:
        axis.fill_between(x, low, high, color=style["color"], alpha=band, linewidth=0)
    keep_numbers(axis, name, x, value, low=low, high=high, **style)


def keep_numbers(axis: Axes, name: str, x: Any, value: Any, *, low: Any = None, high: Any = None, **style: Any) -> None:
    """Keeps the numbers of what is drawn otherwise, such as a level across the panel."""
    ends = [None if end is None else np.asarray(end, dtype=np.float64) for end in (low, high)]
    points = [np.asarray(column, dtype=np.float64) for column in (x, value)]
    _TRACES.setdefault(axis, []).append(Trace(name, points[0], points[1], ends[0], ends[1], style))


def charts(figure: Figure) -> list[dict[str, Any]]:
    """Each panel that has curves, as numbers, strings, lists and dicts.

    title, x, y: what panel and axes say. x_scale, y_scale: linear, log, or arcsinh, whose linear part ends at x_linear
    or y_linear. low, high: ends of the y axis. curves: name, points x and value, band low and high (null without one),
    the number of its colour in the palette (null: grey), dash in pixels (null: points alone).
    """
    found = []
    for axis in figure.axes:
        traces = _TRACES.get(axis)
        if traces and axis.get_visible():
            low, high = axis.get_ylim()
            found.append(
                {
                    "title": plain_text(axis.get_title()),
                    **_axis("x", axis.xaxis),
                    **_axis("y", axis.yaxis),
                    "low": _rounded([low])[0],
                    "high": _rounded([high])[0],
                    "curves": [_curve(trace) for trace in traces],
                }
            )
    return found


def _axis(name: str, axis: Axis) -> dict[str, Any]:
    scale = axis.get_scale()
    linear = float(axis.get_transform().linthresh) if scale == "symlog" else None  # type: ignore[attr-defined]
    return {
        name: plain_text(axis.get_label_text()),
        f"{name}_scale": "arcsinh" if scale == "symlog" else scale,
        f"{name}_linear": linear,
    }


def _curve(trace: Trace) -> dict[str, Any]:
    order = np.argsort(trace.x, kind="stable")
    bands = [None if end is None else _rounded(end[order]) for end in (trace.low, trace.high)]
    colour = trace.style.get("color")
    dash = trace.style.get("linestyle", "-")
    return {
        "name": plain_text(trace.name),
        "x": _rounded(trace.x[order]),
        "value": _rounded(trace.value[order]),
        "low": bands[0],
        "high": bands[1],
        "colour": COLOURS.index(colour) if colour in COLOURS else None,
        "dash": DASHES[dash] if isinstance(dash, str) else [round(DASH_UNIT * part, 2) for part in dash[1]],
    }


def _rounded(values: Sequence[float] | npt.NDArray[np.float64]) -> list[float | None]:
    """Five significant digits, as the page shows fewer; None for what is not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]
