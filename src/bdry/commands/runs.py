"""`bdry runs [folder ...]`: which runs are there. No torch here."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pandas as pd
from rich.console import Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import UsageError, did_you_mean
from ..names import harmless
from ..runs import find_runs
from ..selection.overview import COLUMNS, inventory
from ..session.console import plain_console

REFRESH_S = 2.0
# columns of a line where there is no terminal
WIDTH = 160
STATE_COLOURS = {"finished": "green", "running": "cyan", "failed": "red"}
# column of the list -> heading and format
SHOWN = {
    "experiment": ("experiment", "{}"),
    "seed": ("seed", "{}"),
    "training": ("training", "{}"),
    "state": ("state", "{}"),
    "epochs_done": ("epochs", "{:g}"),
    "test_accuracy": ("accuracy", "{:.1%}"),
    "robust_accuracy": ("robust", "{:.1%}"),
    "l2_median": ("l2\nmargin", "{:.3g}"),
    "linf_median": ("linf\nmargin", "{:.3g}"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "words", nargs="*", metavar="folder|key=value", help="folders of runs (default: outputs); filters: adv=pgd"
    )
    parser.add_argument("--sort", default="path", choices=COLUMNS, help="column to sort by")
    parser.add_argument("--csv", action="store_true", help="every column as CSV, for other programs")
    parser.add_argument("--watch", action="store_true", help="look again every two seconds, until Ctrl-C")


def run(parsed: argparse.Namespace) -> None:
    """Prints the list, once or again and again."""
    places = [word for word in parsed.words if "=" not in word.rpartition("/")[2] or "/" in word] or ["outputs"]
    filters = dict(word.split("=", 1) for word in parsed.words if word not in places)
    for key in filters:
        if key not in COLUMNS:
            raise UsageError(f"{key}=: no such column{did_you_mean(key, COLUMNS)} (columns: {', '.join(COLUMNS)})")
    if parsed.watch:
        _watch(lambda: _shown(_look(places, filters, parsed.sort)[0]))
        return
    rows, skipped = _look(places, filters, parsed.sort)
    for reason in skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if parsed.csv:
        # a folder's name may be a formula to a spreadsheet, and its path from here is no less right
        rows["path"] = [path if harmless(path) else f"./{path}" for path in rows["path"]]
        print(rows.to_csv(index=False, float_format="%.9g", lineterminator="\n"), end="")
        return
    plain_console(WIDTH).print(_shown(rows))


def _watch(look: Callable[[], Group]) -> None:
    """Shows what `look` sees every two seconds, until Ctrl-C; there may be no run yet."""
    with Live(console=plain_console(WIDTH), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            try:
                live.update(look(), refresh=True)
            except UsageError as error:
                live.update(Text(f"{error}; still looking"), refresh=True)
            time.sleep(REFRESH_S)


def _look(places: list[str], filters: dict[str, str], sort: str) -> tuple[pd.DataFrame, list[str]]:
    records, skipped = find_runs(places, unfinished=True)
    rows = inventory(records)
    for key, value in filters.items():
        rows = rows[rows[key].astype(str) == value]
    return rows.sort_values(sort, kind="stable", na_position="last"), skipped


def _shown(rows: pd.DataFrame) -> Group:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column, (heading, _) in SHOWN.items():
        justify: JustifyMethod = "left" if column in ("experiment", "training", "state") else "right"
        # folded, not cut: the end of a name tells two runs of a data set and an architecture apart
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows.to_dict("records"):
        cells: dict[str, str | Text] = {column: _cell(row[column], form) for column, (_, form) in SHOWN.items()}
        if pd.notna(row["epochs"]):
            cells["epochs_done"] = f"{cells['epochs_done'] or 0} of {row['epochs']:g}"
        cells["state"] = Text(row["state"], style=STATE_COLOURS.get(row["state"], "yellow"))
        table.add_row(*cells.values())
    counts = ", ".join(f"{count} {state}" for state, count in rows["state"].value_counts().items())
    return Group(table, f"{len(rows)} runs: {counts}" if len(rows) else "no run like that")


def _cell(value: object, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)
