"""Tables on disk: declared schemas, torn lines, cutting back, foreign files."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdry.errors import RunError
from bdry.runs import TABLES, Column, Table, TableWriter, read_table
from bdry.runs.tables import as_markdown

TABLE = Table(
    "test",
    "made up",
    (Column("step", "int", ""), Column("value", "float", ""), Column("norm", "str", ""), Column("ok", "bool", "")),
)


def rows(steps, values):
    n = len(steps)
    return pd.DataFrame({"ok": [True] * n, "norm": ["l2"] * n, "value": values, "step": steps})


def test_rows_come_back_with_their_types(tmp_path):
    writer = TableWriter(tmp_path / "t.csv", TABLE)
    writer.append(rows([0, 1], [0.1, math.nan]))
    writer.append(rows([2], [np.float32(1 / 3)]))
    back = read_table(tmp_path / "t.csv", TABLE)
    assert back["step"].tolist() == [0, 1, 2]
    assert back["ok"].dtype == bool
    assert back["norm"].tolist() == ["l2"] * 3
    assert np.float32(back["value"][2]) == np.float32(1 / 3)
    assert (tmp_path / "t.csv").read_text().splitlines()[:2] == ["step,value,norm,ok", "0,0.1,l2,1"]


@settings(max_examples=50, deadline=None)
@given(value=st.floats(width=32))
def test_every_float32_survives(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    TableWriter(path, TABLE).append(rows([0], [value]))
    back = np.float32(read_table(path, TABLE)["value"][0])
    assert back == np.float32(value) or (math.isnan(value) and np.isnan(back))


def test_cutting_back_drops_a_torn_line_and_later_rows(tmp_path):
    path = tmp_path / "t.csv"
    writer = TableWriter(path, TABLE)
    writer.append(rows([0, 10, 10, 20], [1.0, 2.0, 3.0, 4.0]))
    whole = path.read_bytes()
    path.write_bytes(whole + b"30,5.0,l")
    assert read_table(path, TABLE)["step"].tolist() == [0, 10, 10, 20]
    writer.drop_after(10)
    assert read_table(path, TABLE)["value"].tolist() == [1.0, 2.0, 3.0]
    writer.append(rows([20], [4.0]))
    assert path.read_bytes() == whole
    writer.drop_after(-1)
    assert not path.exists()
    writer.drop_after(5)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not the columns"),
        ("step,value\n0,1\n", "not the columns"),
        ("step,value,norm,ok\n0,high,l2,1\n", "damaged"),
        ("step,value,norm,ok\n0,1,l2,1,9\n", "damaged"),
        ("step,value,norm,ok\n0\n", "damaged"),
        ("\x00\x01\x02\n", "not the columns"),
    ],
)
def test_foreign_files_are_refused_in_a_line(content, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        read_table(path, TABLE)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60))
def test_no_bytes_make_the_reader_fall_over(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(b"step,value,norm,ok\n" + content)
    with contextlib.suppress(RunError):
        read_table(path, TABLE)


def test_a_row_that_does_not_fit_the_schema_is_a_bug(tmp_path):
    with pytest.raises(AssertionError, match="value"):
        TableWriter(tmp_path / "t.csv", TABLE).append(pd.DataFrame({"step": [0], "norm": ["l2"], "ok": [True]}))


def test_docs_tables_is_printed_from_the_schemas():
    page = Path(__file__).parents[2] / "docs" / "tables.md"
    assert page.read_text(encoding="utf-8") == as_markdown(), "run: python scripts/print_tables.py > docs/tables.md"


def test_every_column_says_what_it_means():
    for table in TABLES.values():
        assert len(set(table.column_names)) == len(table.columns)
        assert all(column.meaning for column in table.columns)
