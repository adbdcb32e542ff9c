"""Tables as CSV: rows appended in one write, read against their schema, cut back to a step when a run resumes."""

from __future__ import annotations

import csv
import io
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunError, one_line
from ..names import harmless
from .files import write_text
from .reading import TABLE_LIMIT, damaged, regular
from .table import KINDS, Column, Table


class TableWriter:
    """The one writer of one table's file."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path, self.table = path, table

    def append(self, rows: pd.DataFrame) -> None:
        """Adds `rows`, whose columns must be the schema's, in any order; header and rows go out in one write."""
        lines = self._lines(rows)
        if not self.path.exists() or not self.path.stat().st_size:
            lines.insert(0, ",".join(self.table.column_names))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        size = os.fstat(descriptor).st_size
        content = memoryview(("\n".join(lines) + "\n").encode())
        try:
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        except OSError as error:
            # a full disk: the rows before stay whole
            os.ftruncate(descriptor, size)
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        finally:
            os.close(descriptor)

    def replace(self, rows: pd.DataFrame) -> None:
        """Writes the whole table anew."""
        write_text(self.path, "\n".join([",".join(self.table.column_names), *self._lines(rows)]) + "\n")

    def _lines(self, rows: pd.DataFrame) -> list[str]:
        wanted, given = self.table.column_names, list(rows.columns)
        assert set(given) == set(wanted), f"{self.table.name}: {sorted(set(given) ^ set(wanted))}"
        formatted = [[_format(value, column) for value in rows[column.name]] for column in self.table.columns]
        return [",".join(cells) for cells in zip(*formatted, strict=True)]

    def num_rows(self) -> int:
        """Whole rows in the file, a torn last line left out; 0 where there is none."""
        return max(len(_whole_lines(self.path)) - 1, 0) if self.path.exists() else 0

    def keep(self, num_rows: int) -> None:
        """Removes a torn last line and every row past the first `num_rows`; 0 removes the file."""
        if num_rows == 0:
            self.path.unlink(missing_ok=True)
        else:
            write_text(self.path, "\n".join(_whole_lines(self.path)[: num_rows + 1]) + "\n")

    def drop_after(self, step: int) -> None:
        """Removes a torn last line and every row past `step`; step -1 or a torn header removes the file."""
        lines = _whole_lines(self.path) if step >= 0 and self.path.exists() else []
        if not lines:
            self.path.unlink(missing_ok=True)
            return
        position = self.table.column_names.index("step")
        try:
            kept = [row for row in lines[1:] if int(row.split(",")[position]) <= step]
        except (ValueError, IndexError) as error:
            reason = f"damaged ({one_line(error)}); delete the run's folder to start again"
            raise RunError(f"{self.path}: {reason}") from None
        write_text(self.path, "\n".join([lines[0], *kept]) + "\n")


def read_table(path: Path, table: Table) -> pd.DataFrame:
    """The whole rows of a table's file with the schema's types; `RunError` where the file does not fit the schema."""
    return _parsed(_whole_lines(path), path, table)


def from_columns(text: str, path: Path, table: Table) -> pd.DataFrame:
    """The table that `in_columns` made a text of; `path`: where it stands. `RunError` as by `read_table`."""
    columns = [line.split(",") for line in text.splitlines()]
    if len({len(column) for column in columns}) > 1:
        raise RunError(f"{path}: damaged (a column is shorter or longer than the first)")
    rows = _parsed([",".join(row) for row in zip(*columns, strict=True)], path, table)
    for column in table.columns:
        if column.quotient_of is not None:
            over, under = (rows[name] for name in column.quotient_of)
            rows[column.name] = (over / under).where(under > 0)
    return rows


def in_columns(rows: pd.DataFrame, table: Table, digits: int) -> str:
    """The table as it is published: a line a column, its name first, of which a compressed file is half as large.

    Quotients of other columns are nan there, and computed when it is read.

    Args:
        digits: significant digits that numbers keep; of a share, and of what it lacks to 1.
    """
    lines = []
    for column in table.columns:
        values = rows[column.name] if column.quotient_of is None else [math.nan] * len(rows)
        lines.append(",".join([column.name, *(_format(value, column, digits) for value in values)]))
    return "\n".join(lines) + "\n"


def _parsed(lines: list[str], path: Path, table: Table) -> pd.DataFrame:
    if not lines or lines[0].split(",") != table.column_names:
        raise RunError(f"{path}: not the columns of the table {table.name}; was it written by another version of bdry?")
    # of rows that are all too long, pandas would take the first cells for names of the rows
    if any(line.count(",") != lines[0].count(",") for line in lines):
        raise RunError(f"{path}: damaged (a row is shorter or longer than the header)")
    floats = [column.name for column in table.columns if column.kind == "float"]
    try:
        with warnings.catch_warnings():
            # a number that no integer holds is cast to another one with a warning
            warnings.simplefilter("error", RuntimeWarning)
            rows = pd.read_csv(
                io.StringIO("\n".join(lines)),
                dtype={column.name: KINDS[column.kind] for column in table.columns},
                quoting=csv.QUOTE_NONE,
                keep_default_na=False,
                na_values={name: ["nan"] for name in floats},
            )
    except (ValueError, TypeError, OverflowError, RuntimeWarning) as error:
        raise damaged(path, error) from None
    truths = [column.name for column in table.columns if column.kind == "bool"]
    if not rows[truths].isin((0, 1)).to_numpy().all():
        raise RunError(f"{path}: damaged (truth values are 0 and 1)")
    for word in {word for column in table.columns if column.kind == "str" for word in rows[column.name].unique()}:
        if not harmless(word):
            raise RunError(f"{path}: damaged ({word!r} is no word of a table)")
    return rows.astype(dict.fromkeys(truths, "bool"))


def _whole_lines(path: Path) -> list[str]:
    text = regular(path, TABLE_LIMIT).read_text(encoding="utf-8", errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()


def _format(value: Any, column: Column, published: int = 0) -> str:
    """The cell of a value; `published`: significant digits where it is published."""
    if column.kind == "str":
        text = str(value)
        assert not set(text) & set(',"\n\r'), f"{column.name}: {text!r} does not fit into a cell"
        return text
    if column.kind == "float":
        if published and column.is_share and 0.5 < value < 1:
            return f"{value:.{published - 1 - math.floor(math.log10(1 - value))}f}"
        # nine significant digits tell every float32 apart
        return "nan" if math.isnan(value) else f"{value:.{published or 9}g}"
    return str(int(value))
