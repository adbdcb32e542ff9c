"""The noun Table: a declared schema, and the columns that most tables have."""

from __future__ import annotations

from dataclasses import dataclass

# how a CSV cell of each kind is read; truth values are written as 0 and 1
KINDS = {"int": "int64", "float": "float64", "str": "str", "bool": "int64"}


@dataclass(frozen=True)
class Column:
    """One column: `kind` is int, float, str or bool."""

    name: str
    kind: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a run's or a measurement's folder, `tables/<name>.csv`."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> list[str]:
        """In the order of the file."""
        return [column.name for column in self.columns]


STEP = Column("step", "int", "optimiser steps done; 0 is initialisation")
EPOCH = Column("epoch", "float", "the same in passes over the training split")
PIXELS = "pixel units of [0, 1]"
