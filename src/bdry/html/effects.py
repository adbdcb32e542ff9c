"""The forest plot of a paper's verdicts, a line of it for each row of the table of claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..figures.forest import PANEL_OF, limits
from ..selection.page import asked, shown
from ..selection.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED

# of a line, in its own units; the axis begins and ends EDGE from the sides
WIDTH, HEIGHT, TICKS, EDGE = 220, 20, 15, 8
MARKS = {
    SUPPORTED: '<circle class="mark" cx="{x:.1f}" cy="{y}" r="4.5"/>',
    CONTRADICTED: '<path class="mark" d="M{x:.1f} {y}m-4.2 -4.2h8.4v8.4h-8.4z"/>',
    UNDECIDED: '<path class="mark" d="M{x:.1f} {y}m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>',
}


@dataclass(frozen=True)
class _Scale:
    """The axis of the rows of one claim and statistic."""

    low: float
    high: float
    is_log: bool

    def place(self, value: float) -> float:
        """Where a value is drawn; what lies beyond an end is drawn just past it."""
        low, value, high = (_log(end) if self.is_log else end for end in (self.low, value, self.high))
        share = (value - low) / (high - low)
        return EDGE + (WIDTH - 2 * EDGE) * min(max(share, -0.03), 1.03)


def effect_lines(verdicts: pd.DataFrame) -> list[Markup]:
    """An SVG for each row: value, interval and, dashed, the bound; empty where there is no value.

    Rows of one claim and statistic have one axis, whose ends and bound stand above the first of them.
    """
    known = verdicts[verdicts["value"].notna()]
    scales = {key: _Scale(*limits(part)) for key, part in known.groupby(PANEL_OF, sort=False)}
    lines, last = [], None
    for row in verdicts.to_dict("records"):
        if math.isnan(row["value"]):
            lines.append(Markup())
            continue
        key = tuple(row[name] for name in PANEL_OF)
        lines.append(_line(row, scales[key], is_first=key != last))
        last = key
    return lines


def _line(row: Mapping[str, Any], scale: _Scale, *, is_first: bool) -> Markup:
    top = TICKS if is_first else 0
    y = top + HEIGHT / 2
    bound, value = scale.place(row["bound"]), scale.place(row["value"])
    known = not math.isnan(row["low"])
    parts = [f'<path class="rule" d="M{EDGE} {y}H{WIDTH - EDGE}"/>']
    parts.append(f'<path class="bound" d="M{bound:.1f} {top}V{top + HEIGHT}"/>')
    if known:
        ends = f"M{scale.place(row['low']):.1f} {y}H{scale.place(row['high']):.1f}"
        parts.append(f'<path class="interval" d="{ends}"/>')
    parts.append(MARKS[row["part_verdict"]].format(x=value, y=y))
    if is_first:
        # the bound's number stands for that of an end that it is near
        left, right = bound < 0.25 * WIDTH, bound > 0.75 * WIDTH
        parts.append(_number(row["bound"], bound, "start" if left else "end" if right else "middle"))
        parts += [] if left else [_number(scale.low, EDGE, "start")]
        parts += [] if right else [_number(scale.high, WIDTH - EDGE, "end")]
    words = f"{shown(row)}; claimed: {asked(row) or 'nothing'}"
    kinds = row["part_verdict"] + (" hollow" if not known or row["secondary"] else "")
    head = '<svg class="effect {}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
    opened = Markup(head).format(kinds, WIDTH, top + HEIGHT, words, words)
    return opened + Markup("".join(parts) + "</svg>")


def _number(value: float, x: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="11" text-anchor="{anchor}">{value:.3g}</text>'


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
