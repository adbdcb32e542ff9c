"""Small tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table


def plain_console(width: int, *, soft_wrap: bool = False) -> Console:
    """A console that prints text as it is, no markup in it obeyed; `width` columns wide where there is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = width
    return console


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, its first column to the left; 120 columns wide where there is no terminal."""
    console = plain_console(120)
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for position, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if position else "left")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def show_summary(summary: pd.DataFrame, title: str) -> None:
    """The table `margin_summary`, the rows of all images."""
    rows = [
        (
            where(row.norm, row.clipped),
            row.split,
            f"{row.step} ({row.epoch:.3g})",
            str(row.num_images),
            f"{row.success_rate:.1%}",
            f"{row.mean:.4g}",
            f"{row.median:.4g}",
            f"{row.min:.4g}",
        )
        for row in summary[summary["subset"] == "all"].itertuples()
    ]
    headings = ["norm", "split", "step (epoch)", "images", "found", "mean", "median", "smallest"]
    show(f"{title}, pixel units of [0, 1]", headings, rows)


def show_check(compared: pd.DataFrame) -> None:
    """What `report.estimator_check.compare` found; the trend where several checkpoints were measured."""
    several = bool(compared["trend_agrees"].notna().any())
    words = {True: "agrees", False: "DISAGREES"}
    rows = [
        (
            where(row.norm, row.clipped),
            row.estimator,
            f"{row.success_rate:.1%}",
            f"{row.mean_margin:.4g}",
            f"{row.mean_ratio:.4g}",
            *([f"{row.change:+.3g}", words.get(row.trend_agrees, "unknown")] if several else []),
        )
        for row in compared.itertuples()
    ]
    trend = ["change", "trend"] if several else []
    headings = ["norm", "estimator", "found", "mean margin", "to best known", *trend]
    show("the same images by several estimators", headings, rows)


def where(norm: str, clipped: bool) -> str:
    """A norm and a box in a word or three."""
    return f"{norm}, in the box" if clipped else norm
