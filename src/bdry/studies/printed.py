"""What a measuring command prints at its end: lines and small tables, from the measurement's tables. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Rows:
    """A small table for a terminal."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


# a measurement's table by its name; None where it has none
Tables = Callable[[str], pd.DataFrame | None]

# (tables, the command's settings) -> lines and tables, in order
Summary = Callable[[Tables, Mapping[str, Any]], Iterator[str | Rows]]
