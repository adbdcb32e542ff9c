"""A sweep killed with its whole process group, and given again: the same bytes in every table."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bdry.cli import main
from bdry.commands import train  # noqa: F401  (what the forked sweeps need is imported once)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills process groups"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("coarse_figures"),
]

SWEEP = [
    "train",
    "-m",
    "seed=0,1,2",
    "dataset.num_train=60",
    "dataset.num_test=40",
    "training.epochs=5",
    "training.batch_size=20",
    "training.checkpoint_minutes=0.0005",
    "arch.widths=[16]",
    "probe.margin.num_train=10",
    "probe.margin.num_test=10",
    "evaluation.robust_images=4",
    "evaluation.steps=3",
    "threads=1",
    "device=cpu",
]
KILLS = 4


def sweep_in(folder):
    """What the forked process does, in a process group of its own."""
    os.setsid()
    os.chdir(folder)
    sys.exit(main(SWEEP))


def start(folder):
    process = multiprocessing.get_context("fork").Process(target=sweep_in, args=(folder,))
    process.start()
    return process


def kill_at(folder, seconds):
    """Whether the sweep's process group was killed before it had come to its end."""
    process = start(folder)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def tables(folder: Path):
    paths = [path for path in sorted(folder.rglob("tables/*.csv")) if path.stem != "timings"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted sweep's folder, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    begun = time.monotonic()
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    return folder, time.monotonic() - begun


def test_a_sweep_killed_at_random_moments(whole, tmp_path):
    reference, seconds = whole
    draw = random.Random(2)
    killed = too_late = 0
    while killed < KILLS:
        folder = tmp_path / f"{too_late}-{killed // 2}"
        folder.mkdir(exist_ok=True)
        if kill_at(folder, draw.uniform(0, seconds)):
            killed += 1
        else:
            # it came to its end before: the machine is faster now, or most was done already
            too_late += 1
            seconds *= 0.8
    for folder in tmp_path.iterdir():
        process = start(folder)
        process.join()
        assert process.exitcode == 0
        assert tables(folder) == tables(reference)


def test_given_again_it_skips_what_is_finished(whole, capfd):
    before = tables(whole[0])
    process = start(whole[0])
    process.join()
    assert process.exitcode == 0
    assert "3 jobs: 3 skipped" in capfd.readouterr().out
    assert tables(whole[0]) == before


@pytest.fixture(autouse=True)
def _ctrl_c_is_heeded():
    """Behind a shell's & it is ignored, also by what is started from there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_sweep_of_workers_killed_with_them_or_told_to_stop_alone(number, whole, tmp_path):
    command = [sys.executable, "-m", "bdry", *SWEEP, "launch=joblib", "hydra.launcher.n_jobs=2"]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("last.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)
    assert process.wait() == {signal.SIGKILL: -9, signal.SIGTERM: 75, signal.SIGINT: 130}[number]
    assert tables(tmp_path) != tables(whole[0])
    assert subprocess.run(command, **quiet).returncode == 0
    assert tables(tmp_path) == tables(whole[0])
