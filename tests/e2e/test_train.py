"""`bdry` as a user types it: whole runs, byte-identical tables, resuming, refusing, failing in a line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bdry.runs import Run

SMALL = [
    "dataset.num_train=60",
    "dataset.num_test=40",
    "training.epochs=2",
    "training.batch_size=20",
    "arch.widths=[16]",
    "probe.margin.num_train=10",
    "probe.margin.num_test=10",
    "evaluation.robust_images=10",
    "evaluation.steps=5",
    "moments.steps=[0,2]",
    "threads=1",
]


def tables(folder: Path) -> dict[str, bytes]:
    """Every table but the timings, by its path below the runs."""
    paths = sorted((folder / "outputs" / "runs").rglob("tables/*.csv"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name != "timings.csv"}


def only_run(folder: Path) -> Path:
    (run,) = (folder / "outputs" / "runs").glob("*/seed=*")
    return run


@pytest.fixture(scope="module")
def finished(bdry, tmp_path_factory) -> Path:
    """The folder in which `bdry train *SMALL` has made a run."""
    folder = tmp_path_factory.mktemp("finished")
    done = bdry("train", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def swept(bdry, tmp_path_factory) -> Path:
    """The folder in which a sweep has made four runs."""
    folder = tmp_path_factory.mktemp("swept")
    done = bdry("train", "-m", "seed=0,1", "adv=none,pgd", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("dataset", ["digits", "moons"])
@pytest.mark.parametrize("adv", ["none", "pgd"])
def test_a_run_leaves_everything_and_the_same_command_skips(dataset, adv, tmp_path, bdry):
    words = ["train", f"dataset={dataset}", f"adv={adv}", *SMALL]
    first = bdry(*words, cwd=tmp_path, style={})
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    run = only_run(tmp_path)
    assert run.parent.name.startswith(f"{dataset}-mlp-{adv}-")
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    steps = [0, 2, 3, 6]
    assert found == {
        "config.yaml",
        "status.json",
        "provenance.json",
        "lock",
        *(f"tables/{name}.csv" for name in ("history", "margins", "margin_summary", "first_order", "timings")),
        "checkpoints/last.safetensors",
        *(f"checkpoints/step={step:08d}.safetensors" for step in steps),
        *(f"figures/margin_evolution-{dataset}-mlp.{ending}" for ending in ("png", "pdf", "csv", "caption.md")),
    }
    history = pd.read_csv(run / "tables" / "history.csv")
    assert history["step"].tolist() == steps
    assert history["robust_accuracy"].notna().all()
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"], status["total_steps"]) == ("finished", 6, 6)
    (provenance,) = json.loads((run / "provenance.json").read_text())
    assert provenance["threads"] == 1
    assert set(provenance["data"]) == {"train", "test"}

    before = tables(tmp_path)
    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0
    assert "is finished already" in again.stdout
    assert tables(tmp_path) == before


def test_the_same_command_in_two_folders_gives_the_same_bytes(tmp_path):
    """Two processes of their own: each has its hash seed, and its state of the global generators."""
    words = ["train", "adv=pgd", "training.crop_padding=1", "training.flip=true", *SMALL]
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-m", "bdry", *words], cwd=tmp_path / name, check=True, timeout=240)
        found.append(tables(tmp_path / name))
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, bdry):
    words = ["train", *SMALL, "training.epochs=60", "moments.epochs=[60]", "moments.steps=[0,2,30]"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert bdry(*words, cwd=whole).returncode == 0
    process = subprocess.Popen([sys.executable, "-m", "bdry", *words], cwd=killed, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        history = list((killed / "outputs").rglob("history.csv"))
        if history and len(history[0].read_text().splitlines()) > 12:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = only_run(killed)
    assert json.loads((run / "status.json").read_text())["state"] == "running"
    # what a kill inside a write leaves behind
    with (run / "tables" / "margins.csv").open("a") as file:
        file.write("180,60,train,7,")
    again = bdry(*words, cwd=killed)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in again.stdout
    assert tables(killed) == tables(whole)
    assert len(json.loads((run / "provenance.json").read_text())) == 2


def test_sweeps_meet_in_the_same_folders(swept, tmp_path, bdry):
    folder = copied(swept, tmp_path)
    runs = folder / "outputs" / "runs"
    assert len(list(runs.glob("*/*"))) == 4
    before = tables(folder)
    parallel = bdry("train", "launch=joblib", "seed=0,1,2", "adv=none,pgd", *SMALL, cwd=folder)
    assert parallel.returncode == 0, parallel.stderr
    assert len(list(runs.glob("*/*"))) == 6
    after = tables(folder)
    assert {path: after[path] for path in before} == before
    # seeds measure the same images, and differ
    margins = [pd.read_csv(path) for path in sorted(runs.glob("*-none-*/*/tables/margins.csv"))]
    assert margins[0]["index"].equals(margins[1]["index"])
    assert not margins[0]["margin"].equals(margins[1]["margin"])


def test_a_failing_job_leaves_the_others_alone(tmp_path, bdry):
    sweep = bdry("train", "-m", "optim.lr=1e30,0.01", "optim=sgd", *SMALL, cwd=tmp_path)
    assert sweep.returncode == 3
    assert "lower optim.lr" in sweep.stderr
    assert "1 of 2 jobs failed; the same command again runs only what is missing" in sweep.stderr
    assert "2 jobs: 1 failed, 1 finished" in sweep.stdout
    assert "Traceback" not in sweep.stderr
    states = {json.loads(p.read_text())["state"] for p in (tmp_path / "outputs").rglob("status.json")}
    assert states == {"failed", "finished"}


def test_a_loss_that_is_not_a_number_ends_in_a_line_and_keeps_the_last_checkpoint(tmp_path, bdry):
    words = ["train", *SMALL, "optim=sgd", "optim.lr=1e20", "training.epochs=5"]
    done = bdry(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "in epoch 1" in done.stderr
    assert "lower optim.lr" in done.stderr
    run = only_run(tmp_path)
    assert (run / "checkpoints" / "last.safetensors").is_file()
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    assert bdry(*words, cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["outputs=/dev/null/here"], "/dev/null/here"),
        (["-m", "seed=0,1", "outputs=/dev/null/here"], "/dev/null/here"),
        (["dataset=mnist", "dataset.root=nowhere", "dataset.download=false"], "put train-images-idx3-ubyte"),
        (["dataset.num_train=5000"], "dataset.num_train=5000: digits has"),
        (["dataset.classes=[3,11]"], "dataset.classes=[3,11]: digits has the classes 0 to 9"),
        (["arch=lenet"], "arch=lenet: images of 1x8x8 are too small for it"),
        (["device=mps"], "device=mps: not available here; there is"),
        (["arch.name=lenet"], "arch.widths: arch=lenet has no such setting"),
    ],
)
def test_mistakes_that_only_the_task_can_see(words, message, tmp_path, bdry):
    done = bdry("train", *words, cwd=tmp_path)
    assert done.returncode == (3 if "-m" in words and "outputs" not in words[-1] else 2), done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("tables"))


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_checkpoint_that_cannot_be_resumed_from_is_named(damage, finished, tmp_path, bdry):
    folder = copied(finished, tmp_path)
    run = only_run(folder)
    last = run / "checkpoints" / "last.safetensors"
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:-100])
    else:
        last.write_bytes(b"<html>not found</html>")
    (run / "status.json").write_text(json.dumps({"state": "running"}))
    done = bdry("train", *SMALL, cwd=folder)
    assert done.returncode == 2
    assert "last.safetensors: damaged or not a checkpoint" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_second_process_is_refused_with_the_owner(finished, tmp_path, bdry):
    folder = copied(finished, tmp_path)
    run = Run(only_run(folder))
    with run.claimed():
        run.set_status("running")
        done = bdry("train", *SMALL, cwd=folder)
    assert done.returncode == 4
    assert f"another process works on this run ({run.status()['user']} on " in done.stderr
    assert f"process {os.getpid()}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_measuring_only_at_initialisation(tmp_path, bdry):
    done = bdry("train", *SMALL, "training.epochs=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(only_run(tmp_path) / "tables" / "history.csv")["step"].tolist() == [0]


def test_without_probes_there_are_no_margins(tmp_path, bdry):
    plain = [word for word in SMALL if not word.startswith("probe.")]
    done = bdry("train", *plain, "probe=[]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (only_run(tmp_path) / "tables" / "margins.csv").exists()


def test_paths_with_spaces_and_umlauts(tmp_path, bdry):
    folder = tmp_path / "größe und form"
    folder.mkdir()
    done = bdry("train", *SMALL, "outputs='mein ordner'", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert list((folder / "mein ordner" / "runs").glob("*/seed=0/figures/*.png"))


def test_figures_are_redrawn_without_torch(swept, tmp_path, bdry_without_torch):
    folder = copied(swept, tmp_path)
    (folder / "outputs" / "runs" / "junk").mkdir()
    (folder / "outputs" / "runs" / "junk" / "config.yaml").write_text("a: 1")
    runs = "runs=[outputs/runs/digits-*,outputs/runs/junk]"
    done = bdry_without_torch("figures", runs, "figure=margin_evolution", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "skipped: " in done.stderr
    drawn = folder / "outputs" / "figures" / "mickisch2020"
    assert {path.name for path in drawn.iterdir()} == {
        *(f"margin_evolution-digits-mlp.{ending}" for ending in ("png", "pdf", "csv", "caption.md")),
        *(f"results.{ending}" for ending in ("csv", "tex", "md")),
    }
    results = pd.read_csv(drawn / "results.csv")
    assert results["num_seeds"].tolist() == [2, 2]
    assert "digits-mlp-pgd-" in done.stdout
