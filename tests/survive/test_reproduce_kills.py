"""`bdry reproduce` killed or told to stop at any of its works: the same command goes on to the same bytes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bdry

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="kills process groups"), pytest.mark.long]

SRC = Path(bdry.__file__).parents[1]
# a study of two runs and a measurement of each, all long enough to be met in the middle of its work
STUDY = """
import sys
from bdry.cli import main
from bdry.commands import reproduce
from bdry.settings import Grid
from bdry.settings.commands import Measuring, Training

training = Training(study="small", overrides={overrides!r})
measuring = Measuring(command="margin", study="small", overrides=["num_train=60", "num_test=20", "batch_size=1"])
reproduce.load_grid = lambda paper, scale: Grid(train=[training], measure=[measuring])
reproduce.WAIT_S = 0.5
sys.exit(main(["reproduce", "paper=mickisch2020", "scale=smoke"]))
"""
TRAINING = [
    "seed=0,1",
    "dataset.num_train=400",
    "dataset.num_test=200",
    "training.epochs=40",
    "training.checkpoint_minutes=0.0005",
    "arch.widths=[16]",
    "probe=[]",
    "evaluation.robust_images=0",
    "moments.steps=[0]",
    "threads=1",
    "device=cpu",
]
WORDS = [sys.executable, "-c", STUDY.format(overrides=TRAINING)]
# a file that is there as soon as that part of the work is going on
BEGUN = {
    "training": "checkpoints/last.safetensors",
    "second seed": "seed=1/checkpoints/last.safetensors",
    "measuring": "tables/batches.csv",
}


@pytest.fixture(autouse=True)
def _ctrl_c_is_heeded():
    """Behind a shell's & it is ignored, also by what is started from there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(folder):
    env = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONSAFEPATH": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(WORDS, cwd=folder, env=env, start_new_session=True, **pipes)


def tables(folder):
    paths = [path for path in sorted(folder.rglob("tables/*.csv")) if path.stem not in ("timings", "batches")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def ends_well(folder):
    """What the command says that goes on to the end."""
    process = start(folder)
    said, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, said
    assert list(folder.rglob("claims.csv"))
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    ends_well(folder)
    return tables(folder)


def when_it_does(part, folder):
    """The command, once it has come to that part of its work."""
    process = start(folder)
    deadline = time.monotonic() + 1000
    while not list(folder.rglob(BEGUN[part])):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", ["training", "measuring"])
@pytest.mark.parametrize("tree", [False, True], ids=["parent alone", "whole tree"])
def test_killed_and_given_again(part, tree, whole, tmp_path):
    process = when_it_does(part, tmp_path)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if tree else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.rglob("claims.csv"))
    said = ends_well(tmp_path)
    # an orphan goes on; where it still works when it is asked for, the command says that it waits
    assert tree or "another process" in said or "finished already" in said or "skipped" in said
    assert not tree or "waiting" not in said
    assert tables(tmp_path) == whole
    process.stdout.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", BEGUN)
@pytest.mark.parametrize(
    ("number", "tree"),
    [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True)],
    ids=["SIGTERM", "SIGINT", "Ctrl-C"],
)
def test_told_to_stop_it_leaves_nothing_running_and_no_verdict(part, number, tree, whole, tmp_path):
    process = when_it_does(part, tmp_path)
    (os.killpg if tree else os.kill)(process.pid, number)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == {signal.SIGTERM: 75, signal.SIGINT: 130}[number], said
    assert "Traceback" not in said
    assert "the same command goes on" in said.splitlines()[-1]
    assert not list(tmp_path.rglob("claims.csv"))
    assert "waiting" not in ends_well(tmp_path)
    assert tables(tmp_path) == whole
