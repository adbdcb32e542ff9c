"""`bdry runs`, `show`, `compare`, `rerun`, `export`, `doctor`: on made run folders, and in a line where they cannot."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from bdry import margins
from bdry.cli import main
from bdry.margins import ESTIMATORS, checks, deepfool
from bdry.margins.result import Estimators
from bdry.runs import SCHEMA_VERSION, Run

HISTORY = {"lr": 0.1, "objective": 1.0, "train_loss": 1.0, "train_accuracy": 0.8, "test_loss": 1.0}


def make_run(folder, seed, *, adv="none", lr=0.1, state="finished", accuracy=0.7):
    science = {
        "dataset": {"name": "digits"},
        "arch": {"name": "mlp"},
        "adv": {"name": adv},
        "training": {"epochs": 4},
        "optim": {"lr": lr},
    }
    run = Run.of(str(folder), science, seed)
    with run.claimed():
        run.write_config({**science, "schema": SCHEMA_VERSION, "seed": seed})
        row = {"step": 4, "epoch": 2.0, **HISTORY, "test_accuracy": accuracy, "robust_accuracy": 0.25}
        run.writer("history").append(pd.DataFrame([{**row, "robust_norm": "linf", "robust_eps": 0.1}]))
        run.add_provenance(
            {"time": "then", "overrides": ["dataset=digits", f"seed={seed}", "study='a b'"], "bdry": "0"}
        )
        run.set_status(state, error="out of luck" if state == "failed" else None)
    return run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [
        make_run("outputs", 0),
        make_run("outputs", 1, lr=0.2, accuracy=0.9),
        make_run("outputs", 0, adv="pgd", state="failed"),
    ]
    return found


def test_runs_are_listed_sorted_and_filtered(runs, capsys):
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "3 runs: 2 finished, 1 failed" in out
    assert "2 of 4" in out
    assert main(["runs", "outputs", "adv=none", "--sort=test_accuracy", "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [line.split(",")[1] for line in rows[1:]] == ["0", "1"]
    assert main(["runs", "advv=none"]) == 2
    assert "advv=: no such column, did you mean adv?" in capsys.readouterr().err
    assert main(["runs", "nowhere"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["runs", "--csvv"]) == 2
    assert "unrecognized arguments: --csvv" in capsys.readouterr().err


def listed(capsys, *words):
    """The rows of `bdry runs --csv`."""
    assert main(["runs", *words, "--csv"]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False)


def test_any_config_key_filters_sorts_and_is_shown(runs, capsys):
    assert listed(capsys, "optim.lr=1e-1", "adv=none").seed.tolist() == [0]
    assert sorted(listed(capsys, "seed=0,1", "adv=none").seed) == [0, 1]
    assert listed(capsys, "adv=none", "--sort", "-optim.lr").seed.tolist() == [1, 0]
    assert listed(capsys, "adv=none", "--sort=optim.lr", "--columns=optim.lr,training.epochs")["optim.lr"].tolist() == [
        0.1,
        0.2,
    ]
    # the largest first, by a short name
    assert listed(capsys, "--sort", "-accuracy").test_accuracy.tolist()[0] == 0.9
    assert main(["runs", "--columns", "optim.lr", "--sort", "-linf"]) == 0
    out = capsys.readouterr().out
    assert "optim.lr" in out
    assert "0.2" in out
    for words, line in (
        (["optm.lr=0.1"], "optm.lr=: no such column, did you mean optim.lr?"),
        (["--columns=foo"], "foo=: no such column"),
        (["optim.lr=0.3"], "optim.lr=0.3: no run has it; there are 0.1, 0.2"),
        (["adv=none", "seed=[0"], "seed=[0: no run has it; there are 0, 1"),
        (["--sort", "-accuracyy"], "accuracyy=: no such column, did you mean accuracy?"),
    ):
        assert main(["runs", *words]) == 2
        assert line in capsys.readouterr().err


def test_a_formula_in_a_config_is_a_text_in_the_csv(runs, capsys):
    path = runs[0].path / "config.yaml"
    path.write_text(path.read_text() + "note: '=cmd()'\n")
    assert sorted(listed(capsys, "--columns=note", "adv=none").note) == ["null", "text =cmd()"]


def test_seeds_are_grouped_with_mean_and_interval(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    accuracies = [0.7, 0.72, 0.74, 0.76, 0.78]
    for seed, accuracy in enumerate(accuracies):
        make_run("outputs", seed, accuracy=accuracy)
        if seed < 3:
            make_run("outputs", seed, accuracy=accuracy + 0.1, adv="pgd")
    rows = listed(capsys, "--group", "--sort", "-accuracy")
    assert rows.seed.tolist() == [3, 5]
    assert rows.test_accuracy.tolist() == pytest.approx([0.82, 0.74])
    # Student's t of 4 degrees: 2.776 * 0.0316 / sqrt(5)
    assert rows["test_accuracy spread"].tolist() == ["0.82 (0.8 to 0.84)", "0.74 [0.701, 0.779]"]
    assert main(["runs", "--group"]) == 0
    out = capsys.readouterr().out
    assert "0.74 [0.701, 0.779]" in out
    assert "2 experiments" in out
    # a note in a config makes no other experiment of a run
    path = next(Path("outputs").glob("runs/digits-mlp-none-*/seed=0/config.yaml"))
    path.write_text(path.read_text() + "note: best so far\n")
    # a copy of a run is no further seed
    shutil.copytree("outputs", "copy")
    assert listed(capsys, "outputs", "copy", "--group", "--sort", "-accuracy").seed.tolist() == [3, 5]
    # by what is not among the columns, and with flags among places and filters
    for key, seeds in (("adv.name", [5, 3]), ("-adv.name", [3, 5]), ("-experiment", [3, 5]), ("seed", [3, 5])):
        assert listed(capsys, "outputs", "--sort", key, "dataset=digits", "--group").seed.tolist() == seeds
    assert listed(capsys, "--group", "--columns", "accuracy,seed").test_accuracy.tolist() == pytest.approx([0.74, 0.82])


def test_experiments_are_compared_seed_by_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in range(5):
        make_run("outputs", seed, accuracy=0.7 + 0.02 * seed)
        make_run("outputs", seed, accuracy=0.8 + 0.02 * seed + 0.001 * (seed - 2), adv="pgd")
    first = sorted((tmp_path / "outputs" / "runs").glob("*none*"))[0]
    assert main(["compare", str(first), "outputs/runs/*-pgd-*"]) == 0
    out = capsys.readouterr().out
    assert "adv.name" in out
    row = next(line for line in out.splitlines() if "difference" in line and "to" not in line)
    # 2.776 * 0.00158 / sqrt(5)
    assert "0.1 [0.098, 0.102]" in row
    assert main(["compare", str(first)]) == 2
    assert "all are seeds of" in capsys.readouterr().err
    assert main(["compare", str(first / "seed=0")]) == 2
    assert "needs two runs or experiments" in capsys.readouterr().err
    assert main(["compare", "outputs/runs/*"]) == 0
    assert main(["compare", str(first), "nowhere"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_many_experiments_are_compared_with_a_row_each(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["none", "pgd", "fast", "free", "trades", "mart", "awp", "far"]
    for name in names:
        make_run("outputs", 0, adv=name)
    assert main(["compare", "outputs/runs/*"]) == 0
    config, effects = capsys.readouterr().out.split("mean over seeds")
    assert [line.split()[-1] for line in config.splitlines() if " digits-" in line] == sorted(names)
    rows = [line.split() for line in effects.splitlines() if line.startswith(" digits-")]
    assert [row[1:3] for row in rows] == [["1", "0.7"]] * len(names)


def test_a_narrow_terminal_folds_the_names_of_runs(runs, capsys, monkeypatch):
    monkeypatch.setattr("bdry.commands.runs.WIDTH", 70)
    assert main(["runs", "outputs"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    rows = [line.split(" ", 1)[0] for line in out.splitlines()]
    assert runs[2].experiment in "".join(rows)


def test_a_narrow_terminal_folds_what_is_compared(runs, capsys, monkeypatch):
    monkeypatch.setattr("bdry.session.console.WIDTH", 44)
    assert main(["compare", "outputs/runs/*"]) == 0
    assert "…" not in capsys.readouterr().out
    assert main(["compare", str(runs[0].path), str(runs[2].path)]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    # the last column's heading, line below line
    results = out.partition("results")[2].partition("─")[0]
    heading = [line.split()[-1] for line in results.splitlines() if line.strip()]
    assert runs[2].name in "".join(heading)


def test_a_running_run_is_known_by_its_heartbeat(runs, capsys):
    run = runs[0]
    run.set_status("running")
    os.utime(run.path / "lock")
    assert run.state() == "running"
    long_ago = time.time() - 3600
    os.utime(run.path / "lock", (long_ago, long_ago))
    assert run.state() == "interrupted"


def test_one_run_is_shown_whole(runs, capsys):
    assert main(["show", str(runs[2].path)]) == 0
    out = capsys.readouterr().out
    assert "failed" in out
    assert "error: out of luck" in out
    assert "bdry train dataset=digits seed=0" in out
    assert "history: 1 rows" in out
    # as the measuring commands take it
    assert main(["show", f"run={runs[2].path}"]) == 0
    assert capsys.readouterr().out == out
    assert main(["show", "outputs"]) == 2
    assert "holds several runs" in capsys.readouterr().err
    # what is damaged hides nothing else
    runs[2].table_path("history").write_text("step\n")
    assert main(["show", str(runs[2].path)]) == 0
    out = capsys.readouterr().out
    assert "history.csv: not the columns of the table history" in out
    assert f"folder: {runs[2].path}" in out


def test_two_runs_are_compared(runs, capsys):
    assert main(["compare", str(runs[0].path), str(runs[1].path)]) == 0
    out = capsys.readouterr().out
    assert "optim.lr" in out
    assert "0.2" in out
    assert "arch.name" not in out
    assert "0.9" in out


def test_the_command_that_made_a_run_with_what_differs_now(runs, capsys):
    assert main(["rerun", str(runs[1].path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == "bdry train dataset=digits seed=1 'study='\"'\"'a b'\"'\"''"
    assert "warning: bdry was 0, is" in captured.err
    (runs[1].path / "provenance.json").write_text("[{}]")
    assert main(["rerun", str(runs[1].path)]) == 2
    assert "does not say which command made it" in capsys.readouterr().err


def test_an_archive_for_a_supplement(runs, tmp_path, capsys):
    outside = tmp_path / "secret"
    outside.write_text("secret")
    (runs[0].path / "figures" / "link.png").symlink_to(outside)
    assert main(["export", "outputs", "--output", "all.zip"]) == 0
    captured = capsys.readouterr()
    assert "all.zip: 2 runs" in captured.out
    assert "not finished (failed" in captured.err
    with zipfile.ZipFile("all.zip") as archive:
        names = set(archive.namelist())
        prefix = runs[0].name
        assert {f"{prefix}/config.yaml", f"{prefix}/tables/history.csv", f"{prefix}/provenance.json"} <= names
        assert not any("link" in name or "checkpoints" in name for name in names)
        assert json.loads(archive.read(f"{prefix}/status.json"))["state"] == "finished"
    assert main(["export", "outputs", "--output", "all.rar"]) == 2
    assert "--output all.rar: the archive is a zip file; its name ends in .zip" in capsys.readouterr().err
    assert main(["export", str(runs[2].path)]) == 2
    assert "no finished run among them" in capsys.readouterr().err


def test_the_doctor_asks_every_estimator_every_case(capsys, monkeypatch):
    """That the answers are right is the check of tests/margins/test_registry.py, which takes a minute."""
    asked = []
    monkeypatch.setattr(checks, "error_on_affine", lambda *case: asked.append(case) or 0.0)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    expected = []
    for name in ESTIMATORS:
        assert f"ok      estimator {name}: within" in out
        able = ESTIMATORS.abilities(name)
        expected += [(ESTIMATORS[name], able, norm, *case) for norm in able.norms for case in checks.CASES]
    assert asked == expected
    assert "ok      data set digits: 1442 + 355 images" in out


def test_a_wrong_estimator_is_found_beside_a_right_one(capsys, monkeypatch):
    def doubled(*args, **kwargs):
        result = deepfool(*args, **kwargs)
        return dataclasses.replace(result, margin=2 * result.margin)

    both = Estimators("margin")
    both.register("right")(ESTIMATORS["deepfool"])
    both.register("broken")(doubled)
    monkeypatch.setattr(margins, "ESTIMATORS", both)
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "ok      estimator right: within" in captured.out
    assert "failed  estimator broken: RuntimeError: differs from the closed form by 1" in captured.out
    assert "1 of" in captured.err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
def test_a_sweep_is_watched_from_another_terminal(tmp_path):
    import signal
    import subprocess
    import sys

    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "bdry", "runs", "--watch"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=theirs,
        env={**os.environ, "COLUMNS": "160"},
        # a shell's background jobs ignore it, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    os.close(theirs)
    seen = ""

    def watch_until(expected):
        nonlocal seen
        while expected not in seen:
            seen += os.read(ours, 4096).decode()

    watch_until("outputs: no such folder; still looking")
    run = make_run(tmp_path / "outputs", 0, state="running")
    watch_until("1 runs: 1 running")
    run.set_status("finished")
    watch_until("1 runs: 1 finished")
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    os.close(ours)


@pytest.mark.parametrize(
    ("setting", "difference"), [({"adv": "pgd"}, "adv.name (none, pgd)"), ({"lr": 0.2}, "optim.lr (0.1, 0.2)")]
)
def test_runs_of_two_experiments_in_one_folder_are_not_taken_for_seeds_of_one(
    tmp_path, monkeypatch, capsys, setting, difference
):
    monkeypatch.chdir(tmp_path)
    one, other = make_run("outputs", 0), make_run("outputs", 1, **setting)
    kept = make_run("elsewhere", 2, **setting)
    other.path.rename(one.path.with_name("seed=1"))
    assert main(["runs", "outputs", "--group"]) == 0
    out, err = capsys.readouterr()
    assert one.experiment not in out
    assert err.count("a folder has the seeds of one experiment") == 2
    assert f"the runs of {one.experiment} differ in {difference}" in err
    # in a folder of its own it is one
    assert listed(capsys, "elsewhere").experiment.tolist() == [kept.experiment]
