"""Terminals that are poor, closed or none, homes that are read-only, odd paths, one core: `bdry` goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch

from bdry.cli import main
from bdry.errors import ConfigError, StoppedError, TrainingError, UsageError
from bdry.runs import SCHEMA_VERSION, Run
from bdry.session import cores
from bdry.session.build import prepare_machine
from bdry.session.loggers import means

SMALL = ["dataset.num_train=20", "dataset.num_test=20", "training.epochs=1", "arch.widths=[4]", "moments.steps=[0]"]
SMALL += ["probe.margin.num_train=2", "probe.margin.num_test=2", "evaluation.robust_images=0", "device=cpu"]
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))}


@pytest.fixture
def some_run(tmp_path):
    """A folder with one finished run whose study has a letter that ASCII lacks."""
    science = {"dataset": {"name": "digits"}, "arch": {"name": "mlp"}, "adv": {"name": "none"}}
    run = Run.of(str(tmp_path / "outputs"), science, 0)
    with run.claimed():
        run.write_config({**science, "schema": SCHEMA_VERSION, "seed": 0, "study": "größer × 4"})
        run.set_status("finished")
    return tmp_path


def safe_on_windows(name):
    return (
        not re.search(r'[:*?"<>|\\\x00-\x1f]', name)
        and name[-1] not in ". "
        and name.split(".")[0].lower() not in RESERVED
    )


def test_ctrl_c_before_anything_is_loaded_is_a_line():
    code = """
import sys
class Interrupting:
    def find_spec(name, *rest):
        if name == "hydra":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting)
from bdry.cli import main
sys.exit(main(["train", "-m", "seed=0,1"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "bdry: interrupted; the same command goes on from the last checkpoint\n"


def test_a_run_in_poor_surroundings(tmp_path):
    """One core, no terminal, an ASCII stream, no home to write to, spaces and umlauts in every path."""
    folder = tmp_path / "größe und form"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if name != "BDRY_DATA"}
    env |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TERM": "dumb", "HOME": "/proc/nobody"}
    words = [sys.executable, "-m", "bdry", "train", *SMALL, "study='größer × 4'", "outputs='größer ordner'"]
    one_core = (
        (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})) if hasattr(os, "sched_setaffinity") else None
    )
    done = subprocess.run(
        [*words, "logger=tensorboard"],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=one_core,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"test accuracy" in done.stdout
    assert b"gr\\xf6\\xdfer ordner" in done.stdout
    (run,) = (folder / "größer ordner" / "runs").glob("*/seed=0")
    if one_core:
        assert json.loads((run / "provenance.json").read_text(encoding="utf-8"))[0]["threads"] == 1
    written = [path.relative_to(folder / "größer ordner") for path in (folder / "größer ordner").rglob("*")]
    assert len(written) > 10
    assert [path for path in written if not all(map(safe_on_windows, path.parts))] == []
    assert list((run / "tensorboard").glob("events.*"))


def listing(folder, shell, **env):
    command = f"{sys.executable} -m bdry runs {shell}"
    return subprocess.run(["sh", "-c", command], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True)


@pytest.mark.skipif(os.name == "nt", reason="streams are closed by a POSIX shell")
def test_closed_and_full_streams(some_run):
    closed = listing(some_run, "<&- >&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = listing(some_run, ">/dev/full")
    assert full.returncode == 1
    assert full.stderr == "bdry: standard output: No space left on device\n"


CLOSES = """
import sys
from torch import nn


class Closes(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        sys.stdout.close()
        return self.inner(x.flatten(1))


def build():
    return Closes()
"""


def test_a_module_that_closes_standard_output_is_measured_and_heard_of(tmp_path):
    (tmp_path / "closes.py").write_text(CLOSES)
    words = ["classifier=closes:build", "dataset=digits", "splits=[test]", "num_test=10", "norms=[l2]", "threads=1"]
    done = subprocess.run(
        [sys.executable, "-m", "bdry", "margin", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / done.stdout.splitlines()[-1] / "tables" / "margins.csv").is_file()


@pytest.mark.skipif(os.name == "nt", reason="a POSIX pipe")
@pytest.mark.parametrize("words", [["runs"], ["train", *SMALL]], ids=lambda words: words[0])
def test_a_reader_that_leaves_early_is_no_error(words, some_run):
    """As `| head` is."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-u", "-m", "bdry", *words]
    done = subprocess.run(command, cwd=some_run, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert words[0] == "runs" or list(some_run.rglob("margins.csv"))


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminals_without_colours(variable, value, some_run):
    import pty

    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150", variable: value, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "bdry", "runs"]
    done = subprocess.run(words, cwd=some_run, env=env, stdin=follower, stdout=follower, stderr=subprocess.PIPE)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "1 runs: 1 finished" in shown
    # bold is no colour
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


def test_letters_that_a_stream_lacks_are_escaped(some_run, monkeypatch):
    import io

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    assert main(["show", str(some_run / "outputs")]) == 0
    assert b"study: gr\xf6\xdfer \xd7 4" in raw.getvalue()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["show", str(some_run / "outputs")]) == 0
    assert b"study: gr\\xf6\\xdfer \\xd7 4" in raw.getvalue()


def test_an_unknown_home_is_a_line(capsys):
    assert main(["runs", "~nobody-of-this-name/outputs"]) == 2
    line = "bdry: ~: there is no such home directory; a name that begins with ~ is written ./~\n"
    assert capsys.readouterr().err == line
    with pytest.raises(SystemExit) as left:
        main(["margin", "run=~nobody-of-this-name/run"])
    assert (left.value.code, capsys.readouterr().err) == (2, line)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP says how long its threads spin")
@pytest.mark.parametrize(("given", "spins"), [({}, False), ({"OMP_WAIT_POLICY": "ACTIVE"}, True)], ids=["bdry", "user"])
def test_threads_that_wait_leave_the_cores_to_others(given, spins):
    code = "from bdry.cli import main; main(['--version']); import torch"
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    env |= {"OMP_DISPLAY_ENV": "verbose", **given}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stderr
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("torch has another OpenMP than GNU's here")
    assert ("GOMP_SPINCOUNT = '0'" not in said) == spins


@pytest.mark.parametrize(("asked", "threads"), [(None, 4), ("2", 2), ("8", 4), ("0", 4), ("many", 4), ("2,1", 2)])
def test_no_more_threads_than_the_environment_says(asked, threads, monkeypatch):
    monkeypatch.setattr(cores, "num_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores.num_threads() == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ConfigError, match=r"device=cuda: not available here; there is cpu \(device=auto"):
        prepare_machine("cuda", 1)


@pytest.mark.parametrize(
    ("raised", "words", "code"),
    [
        (None, [], 0),
        (TrainingError("the loss is not a number"), [], 1),
        (UsageError("no"), [], 2),
        (TrainingError("the loss is not a number"), ["-m"], 3),
        (StoppedError("stopped by SIGTERM"), [], 75),
        (StoppedError("stopped by SIGTERM"), ["-m"], 75),
        (KeyboardInterrupt(), [], 130),
    ],
)
def test_exit_codes(raised, words, code, tmp_path, monkeypatch, capsys):
    def run(config):
        if raised is not None:
            raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bdry.commands.train.run", run)
    monkeypatch.setattr(sys, "argv", ["bdry"])
    try:
        found = main(["train", *words])
    except SystemExit as left:
        found = left.code
    assert found == code
    assert "Traceback" not in capsys.readouterr().err


def test_tensorboard_gets_the_mean_of_each_kind_of_row():
    about = {"step": 3, "epoch": 1.0, "noise": "uniform", "num_images": 2, "num_draws": 1}
    rows = [{**about, "split": split, "size": size, "accuracy": a} for split, size, a in
            [("train", 0.1, 1.0), ("train", 0.3, 0.5), ("test", 0.1, 0.25), ("test", 0.3, float("nan"))]]  # fmt: skip
    assert dict(means("noise", pd.DataFrame(rows))) == {
        "noise/test/accuracy": 0.25,
        "noise/test/size": pytest.approx(0.2),
        "noise/train/accuracy": 0.75,
        "noise/train/size": pytest.approx(0.2),
    }
    assert dict(means("noise", pd.DataFrame(rows[:1]))) == {"noise/accuracy": 1.0, "noise/size": pytest.approx(0.1)}
