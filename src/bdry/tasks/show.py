"""`bdry show <run>`: everything about one run, from its folder. No torch here."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from rich.console import Console

from ..errors import RunError, UsageError
from ..report.inventory import inventory
from ..runs import TABLES, Run, RunRecord, find_runs


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", help="a run's folder, outputs/runs/<name>/seed=<n>")


def run(parsed: argparse.Namespace) -> None:
    """Prints state, results, origin and contents."""
    record = one_run(parsed.run)
    row = inventory([record]).iloc[0].dropna()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{record.run.name}[/]: {record.state}")
    error = record.run.status().get("error")
    if error:
        console.print(f"  error: {error}", markup=False)
    for key in row.index.difference(["run", "state", "path"], sort=False):
        value = row[key]
        console.print(f"  {key}: {value:.4g}" if isinstance(value, float) else f"  {key}: {value}")
    for entry in starts(record.run):
        console.print(f"  started {entry.get('time')}: {command(entry)}", markup=False)
    console.print("tables")
    for name in TABLES:
        if record.run.table_path(name).exists():
            console.print(f"  {name}: {record.run.writer(name).num_rows()} rows")
    for title, paths in (
        ("figures", sorted(record.run.figures.glob("*.png"))),
        ("checkpoints", [record.run.moment_checkpoint(step) for step in record.run.moments()]),
        ("measurements", [measurement.path for measurement in record.measurements()]),
    ):
        if paths:
            console.print(title)
            for path in paths:
                console.print(f"  {path.relative_to(record.run.path)}", markup=False)
    console.print(f"folder: {record.run.path}", markup=False)


def one_run(place: str) -> RunRecord:
    """The one run at `place`; `UsageError` where there are several, `RunError` where it cannot be read."""
    records, skipped = find_runs([place], unfinished=True)
    if len(records) + len(skipped) > 1:
        raise UsageError(f"{place}: holds several runs; name one of them (bdry runs {place} lists them)")
    if not records:
        raise RunError(skipped[0])
    return records[0]


def starts(run: Run) -> list[dict[str, Any]]:
    """The entries of provenance.json, one a start; empty where it is missing or damaged."""
    try:
        entries = json.loads((run.path / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def command(entry: dict[str, Any]) -> str:
    """The command line of one job of that start, to be typed again."""
    words = entry.get("overrides")
    words = words if isinstance(words, list) else []
    return "bdry train " + " ".join(shlex.quote(str(word)) for word in words)
