"""The life of work in a folder, and what goes wrong around it: full disks, other processes, strangers' folders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import types
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from bdry.commands import reproduce
from bdry.errors import BusyError, StoppedError
from bdry.names import harmless
from bdry.runs import Measurement, checkpoint, files, owned
from bdry.runs.files import replacing
from bdry.runs.reading import read_config
from bdry.session import python_child
from bdry.session.lifecycle import _of_own_code, carry_out
from bdry.session.made_by import settings_given
from bdry.session.progress import Counting
from bdry.settings import Grid
from bdry.settings.commands import Measuring

SRC = Path(python_child.__file__).parents[2]


class Pieces:
    """Work of three pieces, each a line of a file, that may go wrong at one of them."""

    def __init__(self, folder, dataset, wrong=None):
        self.config = {"schema": 0}
        self.folder, self.dataset, self.wrong = folder, dataset, wrong or {}
        self.progress = Counting("pieces", 3, "piece")
        self.path = folder.path / "pieces"

    def resume(self):
        self.done = len(self.path.read_text()) if self.path.exists() else 0
        return {"step": self.done}

    def go_on(self, stop):
        for number in range(self.done, 3):
            if number in self.wrong:
                raise self.wrong[number]
            with self.path.open("a") as file:
                file.write(str(number))

    def finish(self):
        (self.folder.path / "sum").write_text(self.path.read_text())


@pytest.fixture
def folder(tmp_path):
    return Measurement(tmp_path / "measurements" / "pieces")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OSError(28, "No space left on device", "somewhere"), "failed"),
        (ValueError(""), "failed"),
        (StoppedError("stopped"), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_work_that_ends_early_says_so_and_goes_on_where_it_was(error, state, folder, tiny_dataset, capsys):
    with pytest.raises(type(error)):
        carry_out(folder, lambda: Pieces(folder, tiny_dataset, {2: error}))
    assert folder.status()["state"] == state
    assert folder.status()["error"]
    carry_out(folder, lambda: Pieces(folder, tiny_dataset))
    assert folder.finished
    assert folder.status()["error"] is None
    assert (folder.path / "sum").read_text() == "012"
    assert [start["from_step"] for start in folder.starts()] == [0, 2]
    carry_out(folder, lambda: pytest.fail("begun again"))
    assert "is finished already" in capsys.readouterr().out


class Signalled(Pieces):
    """Work to which a signal comes when it looks for one no more."""

    def go_on(self, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        super().go_on(stop)


def test_a_signal_is_not_forgotten_where_an_error_ends_the_work(folder, tiny_dataset):
    with pytest.raises(StoppedError, match="no such file; stopped by SIGTERM"):
        carry_out(folder, lambda: Signalled(folder, tiny_dataset, {2: OSError("no such file")}))
    assert folder.status()["state"] == "interrupted"
    assert "no such file" in folder.status()["error"]


def test_a_signal_of_the_last_moments_stops_what_comes_after(folder, tiny_dataset):
    with pytest.raises(StoppedError, match="stopped by SIGTERM"):
        carry_out(folder, lambda: Signalled(folder, tiny_dataset))
    assert folder.finished


class Computing(Pieces):
    """Work whose second piece is computed for a minute, in code that catches what it can; a signal comes."""

    def go_on(self, stop):
        if self.done:
            return super().go_on(stop)
        self.path.write_text("0")
        self.begun = time.monotonic()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with stop.at_once():
            while self.goes_on():
                with contextlib.suppress(Exception):
                    time.sleep(0.01)
        return self.path.write_text("012")

    def goes_on(self):
        return time.monotonic() < self.begun + 60


def test_a_signal_ends_a_piece_where_it_is_and_the_piece_is_done_again(folder, tiny_dataset):
    work = Computing(folder, tiny_dataset)
    with pytest.raises(StoppedError, match=r"^stopped by SIGTERM; the same command goes on$"):
        carry_out(folder, lambda: work)
    assert time.monotonic() < work.begun + 30
    assert folder.status()["state"] == "interrupted"
    carry_out(folder, lambda: Computing(folder, tiny_dataset))
    assert (folder.path / "sum").read_text() == "012"


def test_a_launchers_handler_hears_of_it_at_once_and_may_let_the_piece_go_on(folder, tiny_dataset):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))

    class LetGoOn(Computing):
        def goes_on(self):
            return not heard and super().goes_on()

    try:
        carry_out(folder, lambda: LetGoOn(folder, tiny_dataset))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (folder.finished, heard) == (True, [signal.SIGTERM])


def test_a_signal_that_came_before_ends_a_piece_before_it_begins(folder, tiny_dataset):
    class Early(Pieces):
        def go_on(self, stop):
            os.kill(os.getpid(), signal.SIGTERM)
            with stop.at_once():
                pytest.fail("begun")

    with pytest.raises(StoppedError, match="stopped by SIGTERM"):
        carry_out(folder, lambda: Early(folder, tiny_dataset))


# a child that says when it has begun, and ends as bdry does where a signal reaches it
CHILD = """
import pathlib, signal, sys, time
def leave(number, frame):
    pathlib.Path("ended").touch()
    sys.exit(75 if number == signal.SIGTERM else 130)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, leave)
pathlib.Path("begun").touch()
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, StoppedError), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_to_the_parent_alone_ends_its_children_first(number, error, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(python_child, "BDRY", CHILD)
    monkeypatch.setattr(python_child, "GRACE_S", 0.1)
    # behind a shell's & it is ignored, and would stay so
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)

    def signal_once_begun():
        while not Path("begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=signal_once_begun).start()
    before = [signal.getsignal(found) for found in python_child.SIGNALS]
    measuring = Measuring(command="margin", study="main")
    monkeypatch.setattr(reproduce, "_is_meant", lambda measuring, record: True)
    records = [types.SimpleNamespace(run=types.SimpleNamespace(path=name)) for name in "abc"]
    try:
        with pytest.raises(error), python_child.ending_together():
            reproduce._measure(Grid(measure=[measuring, measuring]), records, workers)
        assert before == [signal.getsignal(found) for found in python_child.SIGNALS]
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert Path("ended").exists()
    assert not python_child._running


def test_a_folder_that_another_works_in(folder, tiny_dataset):
    other = Measurement(folder.path)
    with other.claimed(), pytest.raises(BusyError, match="another process works on this measurement"):
        carry_out(folder, lambda: Pieces(folder, tiny_dataset))
    assert BusyError.exit_code not in (0, 1, 2)


def test_what_is_refused_at_the_beginning_leaves_no_folder(folder):
    def begin():
        raise ValueError("no such class")

    with pytest.raises(ValueError, match="no such class"):
        carry_out(folder, begin)
    assert not folder.path.exists()


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_the_status_failed(folder, tiny_dataset, monkeypatch):
    class Full(Pieces):
        def go_on(self, stop):
            monkeypatch.setattr(owned, "write_json", full_disk)
            full_disk()

    with pytest.raises(OSError, match="No space"):
        carry_out(folder, lambda: Full(folder, tiny_dataset))
    assert json.loads((folder.path / "status.json").read_text())["state"] == "failed"


def test_a_full_disk_names_the_file_and_keeps_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    checkpoint.save_classifier(path, torch.nn.Flatten(), "run", 3)
    before = path.read_bytes()
    words = "Error while serializing: I/O error: No space left on device (os error 28)"

    def refused(tensors, place, metadata):
        Path(place).write_bytes(b"half")
        raise SafetensorError(words)

    monkeypatch.setattr(checkpoint, "save_file", refused)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save_classifier(path, torch.nn.Flatten(), "run", 4)
    assert (caught.value.errno, caught.value.filename) == (28, str(path))
    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as temporary:
        temporary.write_bytes(b"other")
    assert (caught.value.errno, caught.value.filename) == (28, str(path))
    assert path.read_bytes() == before
    # matplotlib's PDF trips over its own closing where the disk is full
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as temporary:
        try:
            full_disk()
        except OSError:
            raise AttributeError("'Stream' object has no attribute 'pos'")  # noqa: B904
    assert (caught.value.errno, caught.value.filename) == (28, str(path))
    with pytest.raises(AttributeError, match="pos"), replacing(path):
        raise AttributeError("'Stream' object has no attribute 'pos'")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_child_takes_no_module_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "filelock.py").write_text("open('taken', 'w').close()\nraise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert python_child.run_bdry(["show", "nowhere"]) == 2
    assert not (tmp_path / "taken").exists()


def test_python_is_started_in_one_place():
    places = [path.name for path in SRC.rglob("*.py") if "sys.executable" in path.read_text(encoding="utf-8")]
    assert places == ["python_child.py"]


def test_reproduce_waits_for_what_an_orphan_holds(monkeypatch, capsys):
    codes = [BusyError.exit_code, BusyError.exit_code, 0]
    monkeypatch.setattr(reproduce, "run_bdry", lambda words: codes.pop(0))
    monkeypatch.setattr(reproduce.time, "sleep", lambda seconds: None)
    assert reproduce._command(["margin", "run=x"]) == []
    assert codes == []
    assert capsys.readouterr().out.count("waiting for the process that works on it: bdry margin run=x") == 2


@pytest.mark.parametrize(
    "word",
    [
        "study=${oc.env:SECRET}",
        r"study=$\{oc.env\:SECRET\}",
        r"study='$\{oc.env:SECRET\}'",
        "study=${oc.decode:${oc.env:SECRET}}",
        "study=${seed}",
        r"study=$\\\{seed\}",
        "study=a$ {seed}",
    ],
)
def test_a_strangers_override_holds_no_interpolation(word):
    assert settings_given({"overrides": ["seed=0", word]}) is None


def test_a_dollar_alone_is_no_interpolation():
    assert settings_given({"overrides": ["study='costs $5'"]}) == ["study='costs $5'"]


@pytest.mark.parametrize("word", ["=1+cmd", "＝1", "+1+1", "-1-1", "@x", "  =x", "'=x", '"=x', "\t=x", "-", "+e5"])
def test_a_word_that_a_spreadsheet_would_compute(word):
    assert not harmless(word)


@pytest.mark.parametrize("word", ["", "main", "-1", "+0.5", "-1e-05", ".5", "control: SGD", "a=b", "pgd linf"])
def test_a_word_that_it_would_not(word):
    assert harmless(word)


def test_numbers_of_absurd_size_are_damage(tmp_path):
    path = tmp_path / "config.yaml"
    for number in ("0x" + "f" * 6000, "1" + "0" * 3000, str(2**70)):
        path.write_text(f"training:\n  epochs: {number}\n")
        with pytest.raises(Exception, match="damaged") as caught:
            read_config(path)
        assert len(str(caught.value)) < 400
    path.write_text(f"seed: {2**63}\n")
    assert read_config(path) == {"seed": 2**63}


def test_a_sparse_table_is_not_read(tmp_path):
    from bdry.runs import TABLES, read_table

    path = tmp_path / "history.csv"
    with path.open("wb") as file:
        file.truncate(50 * 2**30)
    with pytest.raises(Exception, match="too large"):
        read_table(path, TABLES["history"])


def test_what_torch_refuses_to_differentiate_of_own_code_is_a_line():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.grad(torch.ones(2).sum(), x)
    # the frame of this file is not one of the network's
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert str(_of_own_code(error, "classifier", "a:b")).startswith(
        "classifier=a:b: cannot be differentiated as this needs (RuntimeError: element 0 of tensors does not require"
    )
