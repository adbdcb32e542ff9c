"""`bdry compare <a> <b>`: two runs side by side. No torch here."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from ..errors import one_line
from ..selection.overview import inventory
from ..session.console import show
from .show import one_run


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("a", help="a run's folder")
    parser.add_argument("b", help="another's")


def run(parsed: argparse.Namespace) -> None:
    """Prints the config keys that differ, then both runs' results."""
    records = [one_run(place) for place in (parsed.a, parsed.b)]
    flat = [dict(flattened(record.config)) for record in records]
    keys = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    names = [record.run.name for record in records]
    rows = [(one_line(key), *(one_line(one.get(key, "")) for one in flat)) for key in keys]
    show("config" if rows else "config: no difference", ["key", *names], rows)
    results = inventory(records)
    shown = results.drop(columns=["experiment", "path"]).T
    show("results", ["", *names], [(key, *map(_cell, values)) for key, values in shown.iterrows()])


def flattened(node: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of every leaf of a config."""
    found = []
    for key, value in node.items():
        if isinstance(value, dict) and value:
            found += flattened(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _cell(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
