"""What `bdry regions` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..printed import Rows, Tables

HEADINGS = ("scenario", "step", "pairs", "in the region", "found", "straight", "median D", "largest D")


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """How many paths were found and how long these are, and the scenarios that have no pairs."""
    rows = tables("paths")
    if rows is None:
        rows = pd.DataFrame(columns=["step", "scenario"])
    missing = [name for name in settings["scenarios"] if name not in set(rows["scenario"])]
    if missing:
        reason = "the classifier's labels of these images do not allow it"
        yield f"no pairs of the scenarios {', '.join(missing)}: {reason}"
    shown = []
    for (step, scenario), part in rows.groupby(["step", "scenario"], sort=False):
        found = part[part["found"]]
        lengths = found["relative_length"]
        numbers = [str(len(part)), str(part["in_region"].sum()), str(len(found)), str(part["straight"].sum())]
        lengths_shown = [f"{lengths.median():.5g}", f"{lengths.max():.5g}"] if len(found) else ["nan", "nan"]
        shown.append([str(scenario), str(step), *numbers, *lengths_shown])
    yield Rows("paths inside a region; one that was not found within the budget may exist", HEADINGS, shown)
