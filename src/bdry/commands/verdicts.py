"""Verdicts as files and for a terminal, as `bdry figures` and `bdry reproduce` give them. No torch here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from ..figures import forest
from ..selection import page
from ..selection.verdicts import CONTRADICTED, NOT_RUN, SUPPORTED, UNDECIDED

# columns where there is no terminal
WIDTH = 150
COLOURS = {SUPPORTED: "green", CONTRADICTED: "red", UNDECIDED: "yellow", NOT_RUN: "dim"}


def write_claims(verdicts: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Writes claims.csv, claims.md and the picture of them into `folder`; the files written."""
    return [*page.write(verdicts, title, folder), *forest.draw(verdicts, title, folder)]


def show(verdicts: pd.DataFrame, title: str) -> None:
    """The verdicts for a terminal: a line for each part, by whose claim it is."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(f"{title}: {page.counted(verdicts)}", markup=False)
    for line in filter(None, page.primaries(verdicts)):
        console.print(line.replace("**", ""), markup=False)
    for heading, rows in page.groups(verdicts):
        table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("claim", "data set", "part", "effect [95 % interval]", "claimed", "part", "verdict"):
            table.add_column(name, overflow="fold")
        for row in rows.to_dict("records"):
            effect = page.shown(row).replace("[", "\\[")
            label = f"{row['part']} (beside)" if row["secondary"] else row["part"]
            colours = (f"[{COLOURS[row[kind]]}]{row[kind]}" for kind in ("part_verdict", "verdict"))
            table.add_row(row["claim"], row["dataset"], label, effect, page.asked(row), *colours)
        console.print(table)
