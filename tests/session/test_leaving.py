"""Code of others that ends the process, at any moment: bdry never ends in silence, and says where it was."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bdry.cli import main
from bdry.errors import UsageError
from bdry.leaving import WAYS, line_for, said, staying
from bdry.plugins import _declared

QUITS = """
import os
import sys
from importlib.metadata import EntryPoint

import torch
from torch import nn


class Quits(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        CALLS.append(len(x))
        if len(CALLS) == LAST:
            leave()
        logits = self.fc(x.flatten(1))
        if BACKWARD and torch.is_grad_enabled():
            logits.register_hook(lambda gradient: leave())
        return logits


def at_once():
    leave()


def build():
    return Quits()


CALLS, LAST, BACKWARD = [], 0, []
"""
LEAVES = ("os._exit(0)", "os._exit(status=3)", "os.abort()", "os.execvp('true', ['true'])", "sys.exit()", "quit()")
MARGIN = ["margin", "classifier=quits:build", "dataset=digits", "splits=[test]", "num_test=10", "norms=[l2]"]
SMALL = ["dataset=digits", "dataset.num_train=20", "dataset.num_test=20", "training.epochs=1", "moments.steps=[0]"]
SMALL += ["probe.margin.num_train=2", "probe.margin.num_test=2", "evaluation.robust_images=0"]
TRAIN = ["train", "arch=module", "arch.build=quits:build", *SMALL]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("quits", None)


def quitting(leaving="os._exit(0)"):
    """Puts quits.py here, and imports it anew."""
    Path("quits.py").write_text(f"{QUITS}\n\ndef leave():\n    {leaving}\n")
    sys.modules.pop("quits", None)
    importlib.invalidate_caches()
    quits = importlib.import_module("quits")

    return quits


def bdry(capsys, *words):
    """Exit code, lines of standard error, and what the folder of the last work says of its state."""
    try:
        code = main([*words])
    except SystemExit as left:
        code = left.code
    return code, capsys.readouterr().err.splitlines(), states()


def states():
    return {json.loads(path.read_text())["state"] for path in Path("outputs").rglob("status.json")}


def check_said(answer, key):
    code, err, found = answer
    assert (code, len(err)) == (2, 1), err
    assert err[0].startswith(f"bdry: {key}=quits:build: "), err
    assert "SystemExit" in err[0]
    assert found <= {"failed"}


@pytest.mark.parametrize(("words", "key"), [(MARGIN, "classifier"), (TRAIN, "arch.build")], ids=["margin", "train"])
def test_wherever_a_forward_leaves_it_is_a_line(words, key, here, capsys, monkeypatch):
    quits = quitting()
    assert bdry(capsys, *words)[0] == 0
    calls = len(quits.CALLS)
    assert calls > 20
    failed = 0
    for last in (1, calls // 2, calls - 1):
        shutil.rmtree("outputs", ignore_errors=True)
        quits.CALLS.clear()
        monkeypatch.setattr(quits, "LAST", last)
        answer = bdry(capsys, *words)
        check_said(answer, key)
        failed += len(answer[2])
    # the folder is made once the work has begun
    assert failed


@pytest.mark.parametrize("leaving", LEAVES)
def test_whichever_way_a_forward_leaves_it_is_a_line(leaving, here, capsys, monkeypatch):
    quits = quitting(leaving)
    bdry(capsys, *MARGIN)
    calls = len(quits.CALLS)
    shutil.rmtree("outputs", ignore_errors=True)
    quits.CALLS.clear()
    monkeypatch.setattr(quits, "LAST", calls)
    answer = bdry(capsys, *MARGIN)
    check_said(answer, "classifier")
    assert answer[2] == {"failed"}
    assert "fails at quits.py, line" in answer[1][0]


@pytest.mark.parametrize("leaving", LEAVES[::2])
@pytest.mark.parametrize(("words", "key"), [(MARGIN, "classifier"), (TRAIN, "arch.build")], ids=["margin", "train"])
def test_a_builder_that_leaves_is_a_line(words, key, leaving, here, capsys):
    quitting(leaving)
    words = [word.replace("quits:build", "quits:at_once") for word in words]
    code, err, found = bdry(capsys, *words)
    assert (code, len(err), found) == (2, 1, set())
    assert err[0].startswith(f"bdry: {key}=quits:at_once: calling it failed (SystemExit")


def test_a_backward_pass_of_a_training_step_that_leaves_is_a_line(here, capsys, monkeypatch):
    quits = quitting()
    # behind the first look, which takes a step too
    monkeypatch.setattr("bdry.session.own_arch._try_training", lambda *_: quits.BACKWARD.append(True))
    answer = bdry(capsys, *TRAIN)
    check_said(answer, "arch.build")
    assert answer[2] == {"failed"}


@pytest.mark.parametrize("leaving", ["os._exit(0)", "raise ValueError('no more')"])
def test_a_network_of_a_run_that_leaves_is_a_line(leaving, here, capsys, monkeypatch):
    quits = quitting(leaving)
    assert bdry(capsys, *TRAIN)[0] == 0
    (run,) = Path("outputs", "runs").glob("*/seed=0")
    words = ["margin", f"run={run}", "num_test=10", "norms=[l2]", "splits=[test]"]
    # as the code is part of what a run is, it is the same code that leaves, later
    monkeypatch.setattr("bdry.session.open_run.check_remembered", lambda *_: monkeypatch.setattr(quits, "LAST", 0))
    monkeypatch.setattr("bdry.commands.measure._say_accuracy", lambda *_: quits.BACKWARD.append(True))
    code, err, found = bdry(capsys, *words)
    assert (code, len(err)) == (2, 1)
    assert err[0].startswith("bdry: arch.build=quits:build: fails at quits.py, line")
    assert found == {"finished", "failed"}


def test_what_fails_before_the_folder_is_made_is_a_line_too(here, capsys, monkeypatch):
    quits = quitting("raise ValueError('no more')")
    bdry(capsys, *MARGIN)
    seen = next(at for at, size in enumerate(quits.CALLS) if size == 10)
    shutil.rmtree("outputs", ignore_errors=True)
    quits.CALLS.clear()
    # the accuracy, said first
    monkeypatch.setattr(quits, "LAST", seen + 1)
    code, err, found = bdry(capsys, *MARGIN)
    assert (code, len(err), found) == (2, 1, set())
    assert err[0].startswith("bdry: classifier=quits:build: fails at quits.py, line")


def test_code_that_no_setting_names_is_told_by_its_place(here, capsys, monkeypatch):
    """As an estimator or a data set of a plug-in."""
    for patched in ("bdry.studies.margins.in_batches.measure_batch", "bdry.commands.measure._opened"):
        for leave in (lambda *_, **__: os._exit(0), lambda *_, **__: sys.exit(0)):
            monkeypatch.setattr(patched, leave)
            quitting()
            code, err, found = bdry(capsys, *MARGIN)
            assert (code, len(err)) == (2, 1)
            assert "SystemExit: 0" in err[0]
            assert "test_leaving.py, line" in err[0]
            assert found <= {"failed"}


def test_a_process_of_the_codes_own_may_leave_and_all_is_as_it_was():
    before = {name: getattr(os, name) for name in WAYS}
    with staying():
        process = os.fork()
        if process == 0:
            os._exit(7)
        _, status = os.waitpid(process, 0)
        with pytest.raises(SystemExit) as left:
            os._exit(7)
    assert (os.waitstatus_to_exitcode(status), left.value.code) == (7, 7)
    assert {name: getattr(os, name) for name in WAYS} == before


def test_a_launcher_that_leaves_is_let_go(tmp_path):
    """As submitit does where it has put a job into the queue again; any other code is refused."""
    handler = "import sys\n\n\ndef leave():\n    sys.exit(-1)\n"
    for place, refused in (("submitit", False), ("other", True)):
        path = tmp_path / place / "environment.py"
        path.parent.mkdir()
        names = {}
        exec(compile(handler, str(path), "exec"), names)
        with pytest.raises(UsageError if refused else SystemExit) as left, said():
            names["leave"]()
        if not refused:
            assert left.value.code == -1
    assert line_for(KeyboardInterrupt()) is None


def test_a_plug_in_that_leaves_while_it_is_imported_is_left_out(here):
    Path("quits.py").write_text("import os\n\nos._exit(0)\n")
    importlib.invalidate_caches()
    plugin = _declared(EntryPoint("example", "quits", "bdry.plugins"))
    assert plugin.problem.startswith("quits.py, line 3: ends this process (SystemExit: 0)")
