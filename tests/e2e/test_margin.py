"""`bdry margin` as a user types it: a run's checkpoints, a module of one's own, resuming, checking, failing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

RUN = [
    "dataset.num_train=60",
    "dataset.num_test=40",
    "training.epochs=2",
    "training.batch_size=20",
    "arch.widths=[16]",
    "probe.margin.num_train=20",
    "probe.margin.num_test=20",
    "probe.margin.batch_size=7",
    "evaluation.robust_images=0",
    "moments.steps=[0,2]",
    "threads=1",
]
STEPS = [0, 2, 3, 6]
SMALL = ["num_train=20", "num_test=20", "batch_size=7", "threads=1", "device=cpu"]

MODULE = """
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def number():
    return 5


def for_other_images():
    return nn.Linear(3, 10)


def broken():
    raise KeyError("nothing here")
"""


@pytest.fixture(scope="module")
def trained(bdry, tmp_path_factory) -> Path:
    """A folder with one finished run in `run`, and `my_module.py`."""
    folder = tmp_path_factory.mktemp("trained")
    done = bdry("train", *RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "my_module.py").write_text(MODULE)
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture
def refused(bdry):
    """Runs `bdry margin` and gives its one line of complaint."""

    def complaint(folder: Path, *words: str) -> str:
        done = bdry("margin", *words, cwd=folder)
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        return line

    return complaint


def run_of(folder: Path) -> Path:
    (run,) = (folder / "outputs" / "runs").glob("*/seed=*")
    return run


@pytest.fixture
def margin(bdry):
    """`margin(folder, *words)` measures the run in it."""

    def measure(folder: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return bdry("margin", f"run={run_of(folder).relative_to(folder)}", *SMALL, *words, cwd=folder, **more)

    return measure


def measured(folder: Path) -> Path:
    (found,) = folder.rglob("measurements/*")
    return found


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of the one measurement, without timings."""
    return {p.name: p.read_bytes() for p in (measured(folder) / "tables").iterdir() if p.name != "batches.csv"}


def test_all_checkpoints_are_measured_as_in_training_and_the_same_command_skips(folder, margin, bdry):
    first = margin(folder, "checkpoint=all", style={})
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    found = {str(path.relative_to(measured(folder))) for path in measured(folder).rglob("*") if path.is_file()}
    histograms = {
        f"figures/margin_histogram-step={step:08d}.{ending}" for step in STEPS for ending in ("png", "pdf", "csv")
    }
    evolution = {f"figures/margin_evolution-digits-mlp.{ending}" for ending in ("png", "pdf", "csv", "caption.md")}
    names = ("margins", "margin_summary", "batches")
    assert found == {"config.yaml", "status.json", "provenance.json", "lock", *histograms, *evolution} | {
        f"tables/{name}.csv" for name in names
    }
    # the same images by the same code: the probe's batches come in the order norm, image, as here
    for name in ("margins", "margin_summary"):
        assert tables(folder)[f"{name}.csv"] == (run_of(folder) / "tables" / f"{name}.csv").read_bytes()
    before = tables(folder)
    again = margin(folder, "checkpoint=all")
    assert again.returncode == 0
    assert "is finished already" in again.stdout
    assert tables(folder) == before
    # a measurement is no run
    assert "skipped" not in bdry("figures", "runs=outputs", cwd=folder).stderr


def test_last_is_the_last_step_and_settings_have_folders_of_their_own(folder, margin):
    assert margin(folder, "norms=[l2]").returncode == 0
    rows = pd.read_csv(measured(folder) / "tables" / "margins.csv")
    assert set(rows["step"]) == {6}
    assert "is finished already" in margin(folder, "norms=[l2]", "checkpoint=6").stdout
    done = margin(folder, "norms=[linf]", "checkpoint=2", "splits=[test]", "classes=[1,7]", "clipped=[true]")
    assert done.returncode == 0, done.stderr
    found = [pd.read_csv(path) for path in folder.rglob("measurements/*/tables/margins.csv")]
    assert len(found) == 2
    (other,) = [rows for rows in found if set(rows["step"]) == {2}]
    assert set(other["label"]) == {1, 7}
    assert set(other["split"]) == {"test"}


CHECKED = ["checkpoint=all", "check=[apgd]", "norms=[l2]", "splits=[test]"]


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory, bdry) -> Path:
    """The folder with one finished measurement of the run, which nothing has interrupted."""
    place = shutil.copytree(trained, tmp_path_factory.mktemp("whole") / "copy")
    done = bdry("margin", f"run={run_of(place).relative_to(place)}", *SMALL, *CHECKED, cwd=place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize("cut", ["inside a line", "whole lines", "a batch that was not counted"])
def test_a_killed_measurement_goes_on_to_the_same_bytes(cut, whole, tmp_path, margin):
    folder = shutil.copytree(whole, tmp_path / "copy")
    path = measured(folder) / "tables"
    rows = (path / "margins.csv").read_bytes().splitlines(keepends=True)
    # 20 images in batches of 7, 7 and 6 at each of 4 steps
    kept = {
        "inside a line": [*rows[:31], rows[31][:20]],
        "whole lines": rows[:31],
        "a batch that was not counted": rows,
    }
    (path / "margins.csv").write_bytes(b"".join(kept[cut]))
    (path / "margin_summary.csv").unlink()
    if cut == "a batch that was not counted":
        lines = (path / "batches.csv").read_text().splitlines(keepends=True)
        (path / "batches.csv").write_text("".join(lines[:4]))
    status = measured(folder) / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "running"}))
    again = margin(folder, *CHECKED)
    assert again.returncode == 0, again.stderr
    done = 20 if cut == "a batch that was not counted" else 27
    assert f"going on after {done} of 80 images" in again.stdout
    assert tables(folder) == tables(whole)
    assert len(pd.read_csv(path / "batches.csv")) == 12
    assert len(json.loads((measured(folder) / "provenance.json").read_text())) == 2


def test_distances_towards_a_class(folder, margin):
    done = margin(folder, "towards=3", "norms=[l2]")
    assert done.returncode == 0, done.stderr
    margins = pd.read_csv(measured(folder) / "tables" / "margins.csv")
    already = margins["predicted"] == 3
    assert not margins.loc[already, "success"].any()
    assert margins.loc[already, "margin"].isna().all()
    assert set(margins.loc[margins["success"] == 1, "boundary_class"]) == {3}
    assert margins.loc[~already, "success"].mean() > 0.8


def test_check_measures_the_same_images_with_each_estimator(folder, margin):
    done = margin(folder, "checkpoint=all", "check=[apgd,fab]", "splits=[test]")
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(measured(folder) / "tables" / "estimator_check.csv")
    assert len(rows) == len(STEPS) * 20 * 2 * 3
    assert rows["estimator"].unique().tolist() == ["deepfool", "apgd", "fab"]
    images = ["step", "split", "index", "norm", "clipped"]
    best = rows.groupby(images)["margin"].transform("min")
    assert best.equals(rows["best_known"])
    assert rows["ratio"].min() == 1.0
    main = pd.read_csv(measured(folder) / "tables" / "margins.csv").set_index(images)["margin"]
    assert rows[rows["estimator"] == "deepfool"].set_index(images)["margin"].equals(main)
    assert "to best known" in done.stdout
    assert "trend" in done.stdout


def test_a_module_of_ones_own_with_weights(folder, bdry):
    draw = torch.Generator().manual_seed(0)
    shapes = {"1.weight": (8, 64), "1.bias": (8,), "3.weight": (10, 8), "3.bias": (10,)}
    weights = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    save_file(weights, folder / "w.safetensors")
    save_file(weights, folder / "renamed.safetensors")
    words = ["margin", "classifier=my_module:build", "dataset=digits", *SMALL]
    done = bdry(*words, "weights=w.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = measured(folder)
    assert found.parent.parent == folder / "outputs"
    assert found.name.startswith("my_module-build-")
    rows = pd.read_csv(found / "tables" / "margins.csv")
    assert len(rows) == (20 + 20) * 2
    assert set(rows["step"]) == {0}
    again = bdry(*words, "weights=renamed.safetensors", cwd=folder)
    assert "is finished already" in again.stdout
    other = bdry(*words, cwd=folder)
    assert other.returncode == 0, other.stderr
    assert len(list(folder.rglob("measurements/*"))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=nowhere"], "no such folder"),
        (["run=outputs"], "not a run's folder (no config.yaml)"),
        (["run={name}"], "no run itself but a folder of seed=0"),
        (["run={run}", "checkpoint=5"], "checkpoint=5: no such step in this run (steps: 0, 2, 3, 6)"),
        (
            ["run={run}", "check=[wlak]"],
            "did you mean walk?",
        ),
        (["run={run}", "check=[ddn]"], "check=ddn: measures in l2, not in linf: norms=[l2] would do"),
        (["run={run}", "margin=ddn"], "margin=ddn: measures in l2, not in linf: norms=[l2] would do"),
        (["run={run}", "towards=10"], "towards=10: there are the classes 0 to 9"),
        (["run={run}", "classes=[10]"], "classes=[10]: digits has the classes 0 to 9 here"),
        (["classifier=nothing:build", "dataset=digits"], "there is no module nothing here"),
        (["classifier=my_module:bild", "dataset=digits"], "my_module has no function bild, did you mean build?"),
        (["classifier=my_module:number", "dataset=digits"], "gives a int, not a torch.nn.Module"),
        (["classifier=my_module:broken", "dataset=digits"], "calling it failed (KeyError: 'nothing here')"),
        (["classifier=my_module:for_other_images", "dataset=digits"], "fails on images of 1x8x8 from digits"),
        (["classifier=my_module:build", "dataset=moons"], "fails on images of 1x1x2 from moons"),
        (["classifier=my_module:build", "dataset=digits", "dataset.classes=[1,2]"], "not logits of (2, 2)"),
        (["classifier=my_module:build", "dataset=digits", "weights=none.safetensors"], "none.safetensors: missing"),
        (["classifier=my_module:build", "dataset=digits", "weights=my_module.py"], "not a whole safetensors file"),
        (["classifier=my_module:build", "dataset=digits", "weights={checkpoint}"], "weights do not fit"),
    ],
)
def test_mistakes_that_only_the_task_can_see(words, message, trained, refused):
    run = run_of(trained).relative_to(trained)
    places = {"run": run, "name": run.parent, "checkpoint": run / "checkpoints" / "step=00000000.safetensors"}
    assert message in refused(trained, *(word.format(**places) for word in words), "device=cpu", "threads=1")
    assert not list(trained.rglob("measurements"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("schema", "written by another version of bdry (schema 1, this is 2)"),
        ("settings", "not readable by this version (arch=mlp has other settings now)"),
        ("foreign config", "not the config of a run"),
        ("foreign weights", "weights do not fit"),
    ],
)
def test_runs_that_cannot_be_measured(damage, message, folder, refused):
    run = run_of(folder)
    config = run / "config.yaml"
    text = config.read_text()
    if damage == "schema":
        config.write_text(text.replace("schema: 2", "schema: 1"))
    elif damage == "settings":
        config.write_text(text.replace("activation: relu", "activation: relu\n  depth: 3"))
    elif damage == "foreign config":
        config.write_text("a: 1")
    else:
        config.write_text(text.replace("- 16", "- 17"))
    assert message in refused(folder, f"run={run}", *SMALL)
    assert not list(folder.rglob("measurements"))


def test_a_run_without_checkpoints_cannot_be_measured(folder, bdry):
    run = run_of(folder)
    shutil.rmtree(run / "checkpoints")
    done = bdry("margin", f"run={run}", *SMALL, cwd=folder)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "has no checkpoint; a run taken from a publication or exported without --checkpoints brings none" in line
