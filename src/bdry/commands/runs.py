"""`bdry runs [folder ...] [key=value ...]`: which runs are there, and which is best. No torch here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd
from rich.console import Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import UsageError, did_you_mean, one_line, show_value
from ..names import harmless
from ..runs import find_runs
from ..selection.overview import COLUMNS, MEASURED, with_config
from ..session.console import plain_console, say_skipped
from .compare import spread

REFRESH_S = 2.0
# columns of a line where there is no terminal
WIDTH = 160
# how many values that a key has are named where none is the one asked for
LISTED = 10
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


# short names of columns, for filters and --sort
ALIASES = {
    "accuracy": "test_accuracy",
    "robust": "robust_accuracy",
    "l2": "l2_median",
    "linf": "linf_median",
}


@dataclass(frozen=True)
class Query:
    """Which runs, in which order, with which further columns; one row an experiment if `group`."""

    filters: dict[str, str]
    sort: str
    columns: tuple[str, ...]
    group: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="folder|key=value",
        help="folders of runs (default: outputs); filters by column or config key: adv=pgd seed=0,1 optim.lr=0.01",
    )
    parser.add_argument(
        "--sort", default="path", metavar="[-]KEY", help="column or config key to sort by; -KEY: the largest first"
    )
    parser.add_argument("--columns", default="", metavar="KEY,...", help="further columns, as in optim.lr,arch.widths")
    parser.add_argument("--group", action="store_true", help="a row an experiment: mean and interval over its seeds")
    parser.add_argument("--csv", action="store_true", help="every column as CSV, for other programs")
    parser.add_argument("--watch", action="store_true", help="look again every two seconds, until Ctrl-C")


def run(parsed: argparse.Namespace) -> None:
    """Prints the list, once or again and again."""
    if parsed.watch and parsed.csv:
        raise UsageError("--csv: prints once and does not go with --watch")
    places = [word for word in parsed.words if "=" not in word.rpartition("/")[2] or "/" in word] or ["outputs"]
    filters = dict(word.split("=", 1) for word in parsed.words if word not in places)
    query = Query(filters, parsed.sort, tuple(filter(None, parsed.columns.split(","))), parsed.group)
    if parsed.watch:
        _watch(lambda: _shown(*_look(places, query)[:2]))
        return
    rows, further, skipped = _look(places, query)
    say_skipped(skipped)
    if parsed.csv:
        # a folder's name may be a formula to a spreadsheet, and its path from here is no less right
        if "path" in rows:
            rows["path"] = [path if harmless(path) else f"./{path}" for path in rows["path"]]
        for key in further:
            rows[key] = [shown if harmless(shown := show_value(value)) else f"text {shown}" for value in rows[key]]
        print(rows.to_csv(index=False, float_format="%.9g", lineterminator="\n"), end="")
        return
    plain_console(WIDTH).print(_shown(rows, further))


def _watch(look: Callable[[], Group]) -> None:
    """Shows what `look` sees every two seconds, until Ctrl-C; there may be no run yet."""
    with Live(console=plain_console(WIDTH), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            try:
                live.update(look(), refresh=True)
            except UsageError as error:
                live.update(Text(f"{error}; still looking"), refresh=True)
            time.sleep(REFRESH_S)


def _look(places: list[str], query: Query) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows, the further columns among theirs, and why other runs were skipped."""
    # a copy is no further seed
    records, skipped = find_runs(places, unfinished=True, copies=not query.group)
    rows = with_config(records, skipped)
    asked = list(COLUMNS)

    def column(key: str) -> str:
        name = ALIASES.get(key, key)
        if name not in rows:
            hint = did_you_mean(key, [*COLUMNS, *ALIASES, *rows])
            raise UsageError(f"{key}=: no such column{hint} (columns: {', '.join(COLUMNS)}, every config key)")
        asked.append(name)
        return name

    further = [column(key) for key in query.columns]
    for key, value in query.filters.items():
        name = column(key)
        there = rows[name]
        rows = rows[[_is(one, value) for one in there]]
        if rows.empty:
            values = sorted({show_value(one) for one in there})
            more = ", ..." if len(values) > LISTED else ""
            raise UsageError(f"{key}={value}: no run has it; there are {', '.join(values[:LISTED])}{more}")
    falling = query.sort.startswith("-")
    name = column(query.sort.removeprefix("-"))
    if query.group:
        # runs of an experiment have several paths and one name
        name = "experiment" if name == "path" else name
        rows = _grouped(rows, list(dict.fromkeys([*further, name])))
    rows = rows.sort_values(name, kind="stable", na_position="last", ascending=not falling, key=_rank)
    return rows if query.group else rows[list(dict.fromkeys(asked))], further, skipped


def _rank(column: pd.Series) -> pd.Series:
    """Numbers as numbers, all else by its words."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().any() else column.astype(str)


def _is(value: object, wanted: str) -> bool:
    """Whether a value is what was typed, or one of several with commas: 1e-2 is 0.01, null is what is not set."""
    if wanted in (str(value), show_value(value)):
        return True
    if "," in wanted:
        return any(_is(value, one) for one in wanted.split(","))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(wanted) == float(value)
    return False


def _grouped(rows: pd.DataFrame, further: list[str]) -> pd.DataFrame:
    """A row an experiment: number of seeds, means, and `<column> spread`, the mean with its interval in words."""
    found = []
    for experiment, part in rows.groupby("experiment", sort=False):
        row: dict[str, object] = {"experiment": experiment, "seed": len(part), "training": part["training"].iloc[0]}
        row["state"] = ", ".join(f"{count} {state}" for state, count in part["state"].value_counts().items())
        row |= {column: part[column].astype(float).mean() for column in MEASURED}
        row |= {f"{column} spread": spread(part[column].astype(float).dropna()) for column in MEASURED}
        for column in further:
            values = [show_value(value) for value in part[column]]
            row.setdefault(column, values[0] if len(set(values)) == 1 else "several")
        found.append(row)
    columns = ["experiment", "seed", "training", "state", *MEASURED, *(f"{one} spread" for one in MEASURED), *further]
    return pd.DataFrame(found, columns=list(dict.fromkeys(columns)))


def _shown(rows: pd.DataFrame, further: list[str]) -> Group:
    grouped = "epochs_done" not in rows
    shown = dict(SHOWN)
    if grouped:
        del shown["epochs_done"]
        shown = {f"{key} spread" if key in MEASURED else key: one for key, one in shown.items()}
        shown = {key: (heading, "{}") for key, (heading, _) in shown.items()}
        shown["seed"] = ("seeds", "{}")
    shown |= {key: (key, "{}") for key in further if key not in shown}
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column, (heading, _) in shown.items():
        justify: JustifyMethod = "left" if column in ("experiment", "training", "state") else "right"
        # folded, not cut: the end of a name tells two runs of a data set and an architecture apart
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows.to_dict("records"):
        cells: dict[str, str | Text] = {column: _cell(row[column], form) for column, (_, form) in shown.items()}
        if not grouped and pd.notna(row["epochs"]):
            cells["epochs_done"] = f"{cells['epochs_done'] or 0} of {row['epochs']:g}"
        cells["state"] = Text(row["state"], style=STATE_COLOURS.get(row["state"].split()[-1], "yellow"))
        table.add_row(*cells.values())
    if grouped:
        return Group(table, f"{len(rows)} experiments")
    counts = ", ".join(f"{count} {state}" for state, count in rows["state"].value_counts().items())
    return Group(table, f"{len(rows)} runs: {counts}")


def _cell(value: object, form: str) -> str:
    if isinstance(value, (list, dict)):
        return one_line(show_value(value))
    return "" if pd.isna(value) else one_line(form.format(value))
