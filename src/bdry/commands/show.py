"""`bdry show <run>`: everything about one run, from its folder. No torch here."""

from __future__ import annotations

import argparse

from ..errors import RunError, UsageError, one_line
from ..runs import TABLES, RunRecord, find_runs
from ..selection.overview import inventory
from ..session.console import plain_console
from ..session.made_by import made_by


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", help="a run's folder, outputs/runs/<name>/seed=<n>")


def run(parsed: argparse.Namespace) -> None:
    """Prints state, results, origin and contents."""
    record = one_run(parsed.run)
    row = inventory([record]).iloc[0].dropna()
    console = plain_console(120, soft_wrap=True)
    console.print(f"{record.run.name}: {record.state}", style="bold")
    error = record.run.status().get("error")
    if error:
        console.print(f"  error: {one_line(error)}")
    for key in row.index.difference(["experiment", "state", "path"], sort=False):
        value = row[key]
        console.print(f"  {key}: {value:.4g}" if isinstance(value, float) else f"  {key}: {value}")
    for entry in record.run.starts():
        console.print(f"  started {one_line(entry.get('time'))}: {made_by(entry)}")
    console.print("tables")
    for name in TABLES:
        if record.run.has_table(name):
            try:
                console.print(f"  {name}: {len(record.run.table(name))} rows")
            except RunError as damaged:
                console.print(f"  {name}: {one_line(damaged)}")
    for title, paths in (
        ("figures", sorted(record.run.figures.glob("*.png"))),
        ("checkpoints", [record.run.moment_checkpoint(step) for step in record.run.moments()]),
        ("measurements", [measurement.path for measurement in record.measurements()]),
    ):
        if paths:
            console.print(title)
            for path in paths:
                console.print(f"  {one_line(path.relative_to(record.run.path))}")
    console.print(f"folder: {one_line(record.run.path)}")


def one_run(place: str) -> RunRecord:
    """The one run at `place`; `UsageError` where there are several, `RunError` where it cannot be read."""
    records, skipped = find_runs([place], unfinished=True)
    if len(records) + len(skipped) > 1:
        raise UsageError(f"{place}: holds several runs; name one of them (bdry runs {place} lists them)")
    if not records:
        raise RunError(skipped[0])
    return records[0]
