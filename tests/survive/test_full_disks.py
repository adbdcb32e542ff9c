"""A disk that is full while any file is written: one line that names the file, exit 1, the last state whole."""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bdry.errors import unwritable
from bdry.runs import files


@pytest.fixture
def full(monkeypatch):
    """`full(pattern)`: from now on the disk is full for files of such names; `full(None)`: no more."""
    replace, pattern = Path.replace, []

    def refused(self, target):
        if pattern and fnmatch.fnmatch(Path(target).name, pattern[0]):
            raise OSError(28, "No space left on device", str(self))
        return replace(self, target)

    def choose(name):
        pattern[:] = [] if name is None else [name]

    monkeypatch.setattr(files.Path, "replace", refused)
    return choose


def last_line(err):
    """The error's line; on a busy machine it is said before how far drawing is."""
    assert "Traceback" not in err
    others = r"skipped: .*|passed over: .*|([\w ,]+, )?(table|claim|figure|run) \d+ of \d+: \S+"
    lines = [line for line in err.splitlines() if not re.fullmatch(others, line)]
    assert len(lines) == 1, err
    return lines[0]


WRITERS = {
    "figures figure=margin_evolution": ["margin_evolution-*.png", "margin_evolution-*.caption.md", "results.csv"],
    "figures paper=mickisch2020": ["claims.csv", "claims.md"],
    "report": ["report.html"],
}


@pytest.mark.parametrize(("line", "name"), [(line, name) for line, names in WRITERS.items() for name in names])
def test_figures_tables_and_pages(line, name, full, trained, tmp_path, bdry_here):
    words = [*line.split(), f"runs={trained}", f"outputs={tmp_path}"]
    full(name)
    code, _, err = bdry_here(*words)
    assert code == 1
    found = last_line(err)
    assert fnmatch.fnmatch(found, f"bdry: {tmp_path}/*{name}: cannot be written (No space left on device)")
    assert not list(tmp_path.rglob("*.part"))
    assert not [path for path in tmp_path.rglob("*") if fnmatch.fnmatch(path.name, name)]


def test_an_archive(full, trained, tmp_path, bdry_here):
    archive = tmp_path / "all.zip"
    archive.write_text("the one before")
    full("all.zip")
    code, _, err = bdry_here("export", trained, "--output", archive)
    assert (code, last_line(err)) == (1, f"bdry: {archive}: cannot be written (No space left on device)")
    assert archive.read_text() == "the one before"


@pytest.mark.parametrize("name", ["last.safetensors", "step=*.safetensors", "config.yaml", "provenance.json", "*.png"])
def test_files_of_a_run(name, full, small, tmp_path, bdry_here):
    words = ["train", *small, f"outputs={tmp_path}"]
    full(name)
    code, _, err = bdry_here(*words)
    assert code == 1
    found = last_line(err)
    assert fnmatch.fnmatch(found, f"bdry: {tmp_path}/*{name}: *No space left on device*")
    for path in tmp_path.rglob("status.json"):
        assert json.loads(path.read_text())["state"] == "failed"
    full(None)
    code, _, err = bdry_here(*words)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("name", ["outcome.json", "error.txt"])
def test_files_of_a_sweep(name, full, small, tmp_path, monkeypatch, bdry_here):
    monkeypatch.chdir(tmp_path)
    # the second is refused by the data set, when it runs
    words = ["train", "-m", *small, "dataset.num_train=20,1"]
    full(name)
    code, _, err = bdry_here(*words)
    assert code == 1
    assert "Traceback" not in err
    assert fnmatch.fnmatch(err.splitlines()[-1], f"bdry: *{name}: *No space left on device*")


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.name == "nt" or not mount("-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)):
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_full_and_then_larger(small_disk, small, bdry_here):
    words = ["train", *small, "arch.widths=[200]", f"outputs={small_disk}"]
    code, _, err = bdry_here(*words)
    assert code == 1
    line = last_line(err)
    assert line.startswith(f"bdry: {small_disk}/")
    assert "No space left on device" in line
    (status,) = small_disk.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "failed"
    assert mount("-o", "remount,size=16m", str(small_disk))
    code, _, err = bdry_here(*words)
    assert (code, err) == (0, "")
    assert json.loads(status.read_text())["state"] == "finished"


def test_a_copied_folder_is_one_error_of_the_system(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    for name in ("one", "two"):
        (tmp_path / "a" / name).write_text("text")

    def refused(source, target, **settings):
        raise OSError(28, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copytree", functools.partial(shutil.copytree, copy_function=refused))
    with pytest.raises(OSError, match="No space left") as caught:
        files.copy_folder(tmp_path / "a", tmp_path / "b")
    assert caught.value.errno == 28
    assert caught.value.filename in {str(tmp_path / "b" / name) for name in ("one", "two")}


def test_of_a_copy_the_line_names_what_was_to_be_written(tmp_path):
    error = OSError(28, "No space left on device", str(tmp_path / "source"), None, str(tmp_path / "copy"))
    line = f"{tmp_path}/copy: cannot be written (No space left on device)"
    assert str(unwritable(tmp_path, error)) == line
