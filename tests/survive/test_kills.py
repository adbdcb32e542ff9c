"""Killed anywhere and given again: the same bytes in every table as when nothing had happened."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from bdry.commands import measure, train
from bdry.conf import compose, typed
from bdry.runs import csvfile, files

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children made by fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.slow,
    pytest.mark.usefixtures("coarse_figures"),
]

SMALL = [
    "dataset.num_train=60",
    "dataset.num_test=40",
    "training.epochs=6",
    "training.batch_size=20",
    "training.checkpoint_minutes=0.0005",
    "arch.widths=[16]",
    "probe.margin.num_train=10",
    "probe.margin.num_test=10",
    "evaluation.robust_images=4",
    "evaluation.steps=3",
    "moments.steps=[0,2,7]",
    "moments.epochs=[1,3,6]",
    "threads=1",
    "device=cpu",
]
KILLS = 20
TASKS = {"train": train, "margin": measure}


def child(command, words, folder, prepare):
    """What the forked process does: one job of a command, its output thrown away."""
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    prepare()
    TASKS[command].run(typed(compose(command, words)))


def start(command, words, folder, prepare=lambda: None):
    process = multiprocessing.get_context("fork").Process(target=child, args=(command, words, folder, prepare))
    process.start()
    return process


def finish(command, words, folder):
    process = start(command, words, folder)
    process.join()
    assert process.exitcode == 0


def kill_at(command, words, folder, seconds):
    """Whether it was killed before it had come to its end."""
    process = start(command, words, folder)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def tables(folder: Path):
    """Every table but those of seconds, by its path."""
    paths = [path for path in sorted(folder.rglob("tables/*.csv")) if path.stem not in ("timings", "batches")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run's folder, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    begun = time.monotonic()
    finish("train", SMALL, folder)
    return folder, time.monotonic() - begun


@pytest.mark.timeout(1200)
def test_a_run_killed_at_random_moments(whole, tmp_path):
    reference, seconds = whole
    draw = random.Random(0)
    killed = too_late = 0
    while killed < KILLS:
        # a folder of its own for every few kills, so that early moments are hit as often as late ones
        folder = tmp_path / f"{too_late}-{killed // 4}"
        folder.mkdir(exist_ok=True)
        if kill_at("train", SMALL, folder, draw.uniform(0, seconds)):
            killed += 1
        else:
            # it came to its end before: the machine is faster now, or most was done already
            too_late += 1
            seconds *= 0.8
    for folder in tmp_path.iterdir():
        finish("train", SMALL, folder)
        assert tables(folder) == tables(reference)


def dying_write(countdown, share):
    """Makes the table write number `countdown` put down a `share` of its bytes and the process die there."""

    def prepare():
        left = [countdown]
        write = os.write

        def dying(descriptor, content):
            left[0] -= 1
            if left[0] == 0:
                write(descriptor, bytes(content)[: int(share * len(content))])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(descriptor, content)

        csvfile.os = type("Os", (), {**vars(os), "write": staticmethod(dying)})

    return prepare


def dying_replace(countdown):
    """Makes the process die at replacing file number `countdown`, its temporary one being written."""

    def prepare():
        left = [countdown]
        replace = Path.replace

        def dying(self, target):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        files.Path.replace = dying

    return prepare


WRITES = ((1, 0.5), (3, 0.0), (4, 0.9), (9, 0.3), (15, 1.0))
FAULTS = {
    **{f"write {n}, {share}": dying_write(n, share) for n, share in WRITES},
    **{f"replace {n}": dying_replace(n) for n in (1, 2, 4, 5, 6, 9, 14, 23)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_that_dies_inside_a_write(fault, whole, tmp_path):
    process = start("train", SMALL, tmp_path, FAULTS[fault])
    process.join()
    assert process.exitcode == -signal.SIGKILL
    finish("train", SMALL, tmp_path)
    assert tables(tmp_path) == tables(whole[0])
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.timeout(1200)
def test_a_measurement_killed_at_random_moments(whole, tmp_path):
    # a copy: the others compare with what the run alone has left
    shutil.copytree(whole[0], tmp_path / "copy")
    (run,) = (tmp_path / "copy" / "outputs" / "runs").glob("*/seed=0")
    measuring = [f"run='{run}'", "checkpoint=all", "margin=walk", "num_train=20", "num_test=20", "threads=1"]
    measuring.append("batch_size=4")
    measurements = run / "measurements"
    begun = time.monotonic()
    finish("margin", measuring, tmp_path)
    seconds = time.monotonic() - begun
    (folder,) = measurements.iterdir()
    reference = tables(folder)
    draw = random.Random(1)
    killed = 0
    while killed < 4:
        if (folder / "status.json").exists() and '"finished"' in (folder / "status.json").read_text():
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        if kill_at("margin", measuring, tmp_path, draw.uniform(0, seconds)):
            killed += 1
        else:
            seconds *= 0.8
    finish("margin", measuring, tmp_path)
    assert tables(folder) == reference


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_signal_saves_and_leaves_with_75(name, whole, tmp_path):
    import subprocess

    words = [sys.executable, "-m", "bdry", "train", *SMALL, "training.epochs=400"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("tables/margins.csv")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate()
    assert process.returncode == 75
    assert f"stopped by {name}; the same command goes on" in errors
    assert "Traceback" not in errors
    (status,) = tmp_path.rglob("status.json")
    assert '"interrupted"' in status.read_text()


def test_four_processes_at_once(whole, tmp_path):
    processes = [start("train", SMALL, tmp_path) for _ in range(4)]
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    assert codes.count(0) >= 1
    with contextlib.suppress(FileNotFoundError):
        assert not list(tmp_path.rglob("*.part"))
    assert tables(tmp_path) == tables(whole[0])


def test_a_full_disk_keeps_the_rows_before(tmp_path, monkeypatch):
    import pandas as pd

    from bdry.runs import TABLES, TableWriter

    writer = TableWriter(tmp_path / "timings.csv", TABLES["timings"])
    row = pd.DataFrame([{"step": 1, "epoch": 0.5, "training_seconds": 1.0, "measuring_seconds": 1.0}])
    writer.append(row)
    before = writer.path.read_bytes()
    write = os.write

    def full(descriptor, content):
        if len(content) > 3:
            return write(descriptor, bytes(content)[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csvfile.os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        writer.append(row)
    assert caught.value.filename == str(writer.path)
    assert writer.path.read_bytes() == before
