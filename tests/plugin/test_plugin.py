"""The example plug-in, installed by pip into a folder of its own and used as a user would; and a broken one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "bdry-plugin-example"
SMALL = ["dataset.num_train=40", "dataset.num_test=20", "training.epochs=2", "probe.margin.num_train=6"]
SMALL += ["probe.margin.num_test=6", "evaluation.robust_images=0", "moments.steps=[0]", "threads=1", "device=cpu"]

# several command lines in one process: torch is imported once
SEVERAL = Path(__file__).parents[1] / "several.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder of packages with the plug-in."""
    folder = tmp_path_factory.mktemp("site")
    copy = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "example")
    words = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--target", str(folder), str(copy)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


COMPLETE = "complete 'bdry train dataset=str'"


def bdry(site, cwd, *lines):
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, SEVERAL, *lines], cwd=cwd, env=env, capture_output=True, text=True)


def test_a_plugin_takes_part_in_everything(site, tmp_path):
    train = "train dataset=stripes arch=onehidden arch.width=8 margin=downhill probe=[margin,confidence]"
    done = bdry(
        site,
        tmp_path,
        " ".join([train, "probe.confidence.num_images=10", *SMALL]),
        "train --help",
        "train margin.stepz=3 margin=downhill",
        "train dataset.noise=-1 dataset=stripes",
    )
    assert done.stderr.splitlines() == [
        "code 0",
        "code 0",
        "bdry: margin.stepz: no such setting, did you mean margin.steps? (bdry train --help lists them)",
        "code 2",
        "bdry: dataset.noise=-1.0: must be at least 0",
        "code 2",
    ]
    for words in ("moons | plates | sectors | stripes", "mlp | module | onehidden", "downhill", "confidence"):
        assert words in " ".join(done.stdout.split())
    (run,) = (tmp_path / "outputs" / "runs").glob("stripes-onehidden-none-*/seed=0")
    margins = pd.read_csv(run / "tables" / "margins.csv")
    assert set(margins["estimator"]) == {"downhill"}
    assert margins["success"].any()
    assert (margins["margin"].notna() == margins["success"].astype(bool)).all()
    confidence = pd.read_csv(run / "tables" / "confidence.csv")
    assert confidence["num_images"].unique().tolist() == [10]
    assert confidence["mean"].between(0.5, 1).all()
    (start,) = json.loads((run / "provenance.json").read_text())
    assert start["packages"]["bdry-plugin-example"] == "0.1"

    later = bdry(
        site,
        tmp_path,
        f"show {run}",
        f"margin run={run} margin=downhill check=[walk] norms=[l2] num_train=6 num_test=6 threads=1 device=cpu",
        COMPLETE,
    )
    assert later.stderr.count("code 0") == 3, later.stderr
    assert "dataset=stripes" in later.stdout
    assert "confidence: " in later.stdout
    (checked,) = run.glob("measurements/*/tables/estimator_check.csv")
    rows = pd.read_csv(checked).pivot(index=["split", "index"], columns="estimator", values="margin")
    both = rows.dropna()
    assert len(both) > len(rows) / 2
    # both end on the boundary; the walk, which goes on from there, is not farther by more than its tolerance
    assert (both["walk"] <= both["downhill"] * (1 + 1e-3)).all()


def test_without_it_its_runs_are_named_in_a_line(site, tmp_path):
    from bdry.cli.completion import candidates

    assert candidates("bdry train dataset=str") == []
    empty = tmp_path / "empty"
    empty.mkdir()
    done = bdry(empty, tmp_path, "train dataset=stripes")
    assert done.stderr.splitlines()[0].startswith("bdry: dataset=stripes: no such dataset")


@pytest.mark.parametrize("module", ["schema", "stripes"])
def test_a_broken_plugin_is_left_out_and_named(module, site, tmp_path):
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    (broken / "bdry_plugin_example" / f"{module}.py").write_text("import not_there\n")
    # what needs no torch, where it can be told
    done = bdry(broken, tmp_path, "train --cfg job --resolve", "train dataset=stripes threads=1 device=cpu")
    reason = "plug-in bdry-plugin-example 0.1 is left out (ModuleNotFoundError: No module named 'not_there')"
    lines = done.stderr.splitlines()
    assert "name: digits" in done.stdout
    if module == "schema":
        assert lines[:2] == [f"bdry: {reason}", "code 0"]
    else:
        assert lines[0] == "code 0"
        assert lines[1].startswith(
            "bdry: dataset=stripes: no such dataset, did you mean dataset=iris? (choices: arrays, blobs,"
        )
        assert lines[1].endswith(f"; {reason}")
    assert lines[-1] == "code 2"
    assert "Traceback" not in done.stderr
