"""Small tables for a terminal, and what is being done of many steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich import box
from rich.console import Console
from rich.table import Table

# columns of a table where there is no terminal
WIDTH = 120


def plain_console(width: int, *, soft_wrap: bool = False) -> Console:
    """A console that prints text as it is, no markup in it obeyed; `width` columns wide where there is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = width
    return console


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, may_turn: bool = False) -> None:
    """Prints a table, its first column to the left; `WIDTH` columns wide where there is no terminal.

    may_turn: where it does not fit, and its columns as rows are narrower, they are shown so.
    """
    console = plain_console(WIDTH)
    shown = _table(title, headings, rows)
    if may_turn:
        first, *others = zip(headings, *rows, strict=True)
        wide = console.options.update_width(100_000)
        width, turned = (console.measure(one, options=wide).maximum for one in (shown, _table(title, first, others)))
        if turned < width > console.width:
            shown = _table(title, first, others)
    console.print(shown)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for position, heading in enumerate(headings):
        # folded, not cut: the end of a name or a key may be what tells it from another
        shown.add_column(heading, justify="right" if position else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    return shown


def say_skipped(reasons: Iterable[str]) -> None:
    """A line on standard error for each run that was found and is left out."""
    for reason in reasons:
        print(f"skipped: {reason}", file=sys.stderr)


class Steps:
    """Says on standard error which of many steps is going on, as in "figure 3 of 14: R2". A context manager.

    In a terminal the line is overwritten and goes at the end; elsewhere there is one every ten seconds.
    """

    every_s = 10.0

    def __init__(self, what: str) -> None:
        self.what, self.last = what, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int, name: str) -> None:
        """`done` of `total` steps are done, and `name` is going on."""
        line = f"{self.what} {done + 1} of {total}: {name}"
        if self.terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.last >= self.every_s:
            self.last = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
