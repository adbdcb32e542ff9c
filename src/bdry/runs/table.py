"""The nouns Table and Arrays: what is declared of every file of numbers, and the columns that most tables have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# how a CSV cell of each kind is read; truth values are written as 0 and 1
KINDS = {"int": "int64", "float": "float64", "str": "str", "bool": "int64"}
# numpy's letters for the kinds of arrays
ARRAY_KINDS = {"int": "iu", "float": "f", "str": "U", "bool": "b"}


@dataclass(frozen=True)
class Column:
    """One column: `kind` is int, float, str or bool.

    quotient_of: two other columns of which it is the quotient, and from which it is computed where it is published.
    is_share: a number in [0, 1], of which published digits count from the nearer end: 0.99996 is no 1.
    """

    name: str
    kind: str
    meaning: str
    unit: str = ""
    quotient_of: tuple[str, str] | None = None
    is_share: bool = False


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


@dataclass(frozen=True)
class Array:
    """One array of a file, or one for each value of the fields in its name, as in `strips {source}-{target} image`.

    axes: A word for each dimension; what has the same word has the same length in all arrays with equal fields.
    kind: int, float, str or bool.
    """

    name: str
    axes: tuple[str, ...]
    kind: str
    meaning: str
    unit: str = ""

    def key(self, **fields: object) -> str:
        """The array's name in the file for these values of its fields."""
        return self.name.format(**fields)

    def fields(self, key: str) -> dict[str, str] | None:
        """The values of the fields in a file's name; None where that is another array's."""
        found = self._pattern.fullmatch(key)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.name)
        return re.compile("".join(f"(?P<{part}>[^ ]+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))


@dataclass(frozen=True)
class Arrays:
    """A file of arrays of a run's or a measurement's folder at a moment, `arrays/<name>-step=<n>.npz`."""

    name: str
    meaning: str
    arrays: tuple[Array, ...]

    def of(self, key: str) -> tuple[Array, dict[str, str]] | None:
        """Whose array this name in the file is, with the values of its fields; None for none that is declared."""
        for array in self.arrays:
            fields = array.fields(key)
            if fields is not None:
                return array, fields
        return None

    def key(self, name: str, **fields: object) -> str:
        """The name in the file of the array declared as `name`; raises `KeyError` where there is none."""
        return {array.name: array for array in self.arrays}[name].key(**fields)

    def fields(self, name: str, keys: Iterable[str]) -> list[dict[str, str]]:
        """Of those of a file's names that are the array declared as `name`: the values of its fields."""
        found = [self.of(key) for key in keys]
        return [one[1] for one in found if one is not None and one[0].name == name]


# all that is declared, by name
TABLES: dict[str, Table] = {}
ARRAYS: dict[str, Arrays] = {}


def declare(table: Table) -> Table:
    """Adds a table to all tables; a name can be taken once."""
    _new(table.name, TABLES, (column.name for column in table.columns))
    TABLES[table.name] = table
    return table


def _new(name: str, taken: Iterable[str], parts: Iterable[str]) -> None:
    if name in taken or not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name}: declared twice, or not a name")
    names = list(parts)
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: has a name twice")


def moment_table(name: str, meaning: str, *columns: Column) -> Table:
    """Declares a table whose rows begin with their moment, the columns `step` and `epoch`."""
    return declare(Table(name, meaning, (STEP, EPOCH, *columns)))


def moment_arrays(name: str, meaning: str, *arrays: Array) -> Arrays:
    """Declares a file of arrays at a moment; a name can be taken once."""
    _new(name, ARRAYS, (array.name for array in arrays))
    ARRAYS[name] = Arrays(name, meaning, arrays)
    return ARRAYS[name]


STEP = Column("step", "int", "optimiser steps done; 0 is initialisation")
EPOCH = Column("epoch", "float", "the same in passes over the training split; of own weights the step once more")
PIXELS = "pixel units of [0, 1]"
