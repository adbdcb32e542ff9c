"""Tables are read once while their file stays as it is, and never given where it is another one."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from bdry.errors import RunError
from bdry.runs import TABLES, Run
from bdry.runs.folder import Measurement
from bdry.runs.kept import KeptTables
from bdry.runs.packed import pack


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("1\n")
    return path


def asked(tables, file, times=1):
    """What is given for `file`, and how often it was read for that."""
    reads = []

    def read():
        reads.append(1)
        return pd.DataFrame({"number": [int(line) for line in file.read_text().split()]})

    given = [tables.table(file, file, read) for _ in range(times)]
    return [list(rows["number"]) for rows in given], len(reads)


def test_a_file_that_stays_is_read_once(file):
    assert asked(KeptTables(), file, 5) == ([[1]] * 5, 1)


def test_what_is_done_to_a_table_is_not_done_to_the_next(file):
    tables = KeptTables()
    for _ in range(3):
        rows = tables.table(file, file, lambda: pd.DataFrame({"number": [1]}))
        assert list(rows["number"]) == [1] and list(rows.columns) == ["number"]
        rows.insert(0, "seed", 7)
        rows["number"] = 2
        rows.loc[0, "number"] = 3


@pytest.mark.parametrize("change", ["more rows", "as long", "another file", "gone"])
def test_a_file_that_changed_is_read_again(file, change):
    tables = KeptTables()
    asked(tables, file)
    if change == "more rows":
        with file.open("a") as out:
            out.write("2\n")
    elif change == "as long":
        file.write_text("2\n")
        # the clock of a file system may be slow
        os.utime(file, ns=(1, 1))
    elif change == "another file":
        times = file.stat()
        other = file.with_name("other")
        other.write_text("3\n")
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.replace(file)
    else:
        file.unlink()
        with pytest.raises(FileNotFoundError):
            asked(tables, file)
        return
    right = [int(line) for line in file.read_text().split()]
    assert asked(tables, file) == ([right], 1)


def test_no_more_is_kept_than_there_is_room_for(tmp_path):
    files = [tmp_path / f"{number}.csv" for number in range(3)]
    for number, path in enumerate(files):
        path.write_text(f"{number}\n" * 100)
    size = int(pd.DataFrame({"number": [0] * 100}).memory_usage(deep=True).sum())
    tables = KeptTables(2 * size)
    reads = [asked(tables, files[number])[1] for number in (0, 1, 0, 2, 0, 1)]
    # the third pushed out the second, which was not asked for the longest
    assert reads == [1, 1, 0, 1, 0, 1]
    assert asked(KeptTables(size - 1), files[0], 2)[1] == 2


def test_a_runs_table_and_its_measurements_in_one_archive_are_two(tmp_path):
    def text(rows):
        one = {name: "1" if name in ("epoch", "step", "loss") else "0" for name in TABLES["history"].column_names}
        return "".join(",".join([name, *[value] * rows]) + "\n" for name, value in one.items())

    pack(tmp_path, {"tables/history.csv": text(1), "measurements/svm-1/tables/history.csv": text(2)})
    run, measured = Run(tmp_path), Measurement(tmp_path / "measurements" / "svm-1")
    for _ in range(2):
        assert [len(run.table("history")), len(measured.table("history"))] == [1, 2]
    pack(tmp_path, {"tables/history.csv": text(3), "measurements/svm-1/tables/history.csv": text(2)})
    assert len(run.table("history")) == 3


def test_a_damaged_table_is_an_error_each_time(tmp_path):
    run = Run(tmp_path)
    run.table_path("history").parent.mkdir()
    run.table_path("history").write_text("no,header\n")
    for _ in range(2):
        with pytest.raises(RunError, match="not the columns of the table history"):
            run.table("history")
