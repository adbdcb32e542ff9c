"""`bdry regions` and `bdry curvature` as a user types them: two classes, an affine classifier, kinks, mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bdry.studies.figures import FIGURES

RUN = [
    "dataset=digits",
    "dataset.classes=[0,1]",
    "dataset.num_train=120",
    "dataset.num_test=40",
    "training.epochs=3",
    "training.batch_size=20",
    "optim.lr=0.01",
    "probe=[]",
    "evaluation.robust_images=0",
    "moments={steps:[],epochs:[1]}",
    "threads=1",
    "device=cpu",
]
ARCHS = {
    "smooth": ["arch.widths=[16]", "arch.activation=softplus"],
    "relu": ["arch.widths=[16]"],
    "linear": ["arch=linear"],
}
REGIONS = ["num_pairs=5", "spacing=1e-3", "ks=[2,3]", "num_combinations=20", "threads=1", "device=cpu"]
CURVATURE = ["num_images=6", "num_directions=10", "resolution=21", "threads=1", "device=cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, bdry) -> dict[str, Path]:
    """The finished runs, each in an outputs folder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    runs = {}
    for name, words in ARCHS.items():
        done = bdry("train", *RUN, *words, f"outputs={name}", cwd=folder)
        assert done.returncode == 0, done.stderr
        (config,) = folder.glob(f"{name}/runs/*/seed=0/config.yaml")
        runs[name] = config.parent
    return runs


@pytest.fixture
def run_of(trained, tmp_path):
    """A function that gives a fresh copy of a run."""
    return lambda name: shutil.copytree(trained[name], tmp_path / name / "runs" / trained[name].parent.name / "seed=0")


def table(run: Path, command: str, name: str) -> pd.DataFrame:
    (found,) = run.glob(f"measurements/{command}-*/tables/{name}.csv")
    return pd.read_csv(found)


def test_a_two_class_network_has_its_regions_and_curvature_measured_and_drawn(run_of, tmp_path, bdry):
    run = run_of("smooth")
    regions = bdry("regions", f"run={run}", *REGIONS, cwd=tmp_path)
    assert regions.returncode == 0, regions.stderr
    assert "may exist" in regions.stdout
    paths = table(run, "regions", "paths")
    assert paths.groupby("scenario").size().to_dict() == {"natural": 5, "perturbed": 5, "random": 5}
    assert (paths.loc[paths["found"] == 1, "relative_length"] >= 1 - 1e-9).all()
    curvature = bdry("curvature", f"run={run}", *CURVATURE, "checkpoint=all", cwd=tmp_path)
    assert curvature.returncode == 0, curvature.stderr
    assert "f_own - f_other" in curvature.stdout
    summary = table(run, "curvature", "curvature_summary")
    assert summary["step"].nunique() == 2
    assert set(summary["method"]) == {"ad"}
    nearest = table(run, "curvature", "boundary").query(
        "family == 'nearest_refined' and success == 1 and stationary == 1"
    )
    assert (nearest["kappa_min_times_distance"] >= -1.001).all()
    again = bdry("curvature", f"run={run}", *CURVATURE, "checkpoint=all", cwd=tmp_path)
    assert "is finished already" in again.stdout
    # redrawn from tables and arrays alone
    shutil.rmtree(run / "checkpoints")
    words = ["figures", "paper=fawzi2017", "runs=smooth", "style.format=[png]", "style.dpi=50"]
    done = bdry(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = [path.name for path in (tmp_path / "outputs").rglob("*.png")]
    for name in ("filmstrips", "paths", "convexity", "profile", "sections", "families", "curvature_over_training"):
        assert name in FIGURES["fawzi2017"]
        assert any(file.startswith(name) for file in drawn), name


def test_a_linear_network_has_no_curvature_and_that_is_said(run_of, tmp_path, bdry):
    run = run_of("linear")
    done = bdry("curvature", f"run={run}", *CURVATURE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every curvature is 0: the classifier is affine" in done.stdout
    assert (table(run, "curvature", "curvature_summary")[["kmax", "kmin", "mean_kappa"]].fillna(0) == 0).all().all()


def test_a_relu_network_is_measured_at_a_finite_scale(run_of, tmp_path, bdry):
    run = run_of("relu")
    done = bdry("curvature", f"run={run}", *CURVATURE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = table(run, "curvature", "curvature_summary")
    assert set(summary["method"]) == {"geometric"}
    assert summary["mean_kappa"].notna().any()


@pytest.mark.parametrize(
    ("command", "arch", "words", "line"),
    [
        ("curvature", "relu", ["methods=[ad]"], "ReLU"),
        ("curvature", "smooth", ["families=[nearest]"], "did you mean"),
        ("curvature", "smooth", ["methods=[]"], "must not be empty"),
        ("curvature", "smooth", ["solver=lanczos", "num_principal=40"], "at most 31 at each end"),
        ("curvature", "smooth", ["num_images=0"], "must be at least 1"),
        ("regions", "smooth", ["ks=[2,500]"], "ks=[2,500]: k=500: no region has so many"),
        ("regions", "smooth", ["ks=[2,500]"], "ks=[2] would do"),
        ("regions", "smooth", ["scenarios=[naturel]"], "did you mean natural"),
        ("regions", "smooth", ["checkpoint=7"], "no such step"),
    ],
)
def test_mistakes_are_answered_in_a_line(command, arch, words, line, trained, tmp_path, bdry):
    small = REGIONS if command == "regions" else CURVATURE
    kept = [word for word in small if word.partition("=")[0] not in {other.partition("=")[0] for other in words}]
    done = bdry(command, f"run={trained[arch]}", *kept, *words, cwd=tmp_path)
    assert done.returncode == 2
    (complaint,) = [text for text in done.stderr.splitlines() if text.startswith("bdry: ")]
    assert line in complaint


@pytest.mark.parametrize("command", ["regions", "curvature"])
def test_without_a_run_there_is_nothing_to_measure(command, bdry):
    done = bdry(command)
    assert done.returncode == 2
    assert "run=null: give either run=<folder> or classifier=<module>:<function>" in done.stderr
