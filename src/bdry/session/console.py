"""Small tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

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
