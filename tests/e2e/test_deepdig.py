"""`bdry deepdig` as a user types it: every table and figure, odd inputs, mistakes; the probe in training."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdry.cli import main
from bdry.runs import TABLES, find_runs
from bdry.studies.deepdig.figures.common import detailed
from bdry.studies.deepdig.settings import DeepDigSettings
from bdry.studies.figures import FIGURES

pytestmark = pytest.mark.usefixtures("coarse_figures")
RUN = [
    "train",
    "dataset=digits",
    "dataset.num_test=200",
    "arch=fcn",
    "optim.lr=0.01",
    "training.batch_size=32",
    "evaluation.robust_images=0",
    "moments.steps=[]",
    "moments.epochs=[]",
    "threads=1",
    "device=cpu",
]
QUICK = [
    "widths=[40,20]",
    "steps=150",
    "lr=0.003",
    "min_collapse_ratio=0.02",
    "log_every=50",
    "num_partners=5",
    "max_starts=10",
    "further_grids=[10]",
    "further_alphas=[0.2]",
    "threads=1",
    "device=cpu",
]
MADE = ("ae", "ae_training", "generation", "bisection", "idc", "edc", "runtime")


def train(folder: Path, *more: str) -> str:
    assert main([*RUN, f"outputs={folder}", *more]) == 0
    (run,) = folder.glob("runs/*/seed=*")
    return str(run)


def measured(run: str) -> Path:
    (folder,) = (Path(run) / "measurements").glob("deepdig-*")
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    return train(tmp_path_factory.mktemp("trained"), "training.epochs=5", "probe=[]")


@pytest.fixture
def run(trained, tmp_path) -> str:
    """A copy of the run, without measurements."""
    return copied(trained, tmp_path)


@pytest.fixture(scope="module")
def done(trained, tmp_path_factory) -> str:
    """A run with one pair measured."""
    run = copied(trained, tmp_path_factory.mktemp("done"))
    assert main(["deepdig", f"run={run}", "pairs=[[1,2]]", *QUICK]) == 0
    return run


def copied(run: str, folder: Path) -> str:
    copy = folder / "runs" / Path(run).parent.name / "seed=0"
    shutil.copytree(run, copy)
    return str(copy)


def test_one_pair_ends_with_every_table_and_figure(done):
    folder = measured(done)
    for name in MADE:
        assert list(table(folder, name).columns) == TABLES[name].column_names
    generation = table(folder, "generation")
    main_rows = generation[generation["alpha"].isna() | (generation["alpha"] == 0.8)]
    assert sorted(zip(main_rows["source"], main_rows["target"], main_rows["method"], strict=True)) == sorted(
        (s, t, method) for s, t in ((1, 2), (2, 1)) for method in DeepDigSettings().methods
    )
    outcomes = generation["num_success"] + generation["num_third"] + generation["num_stalled"]
    assert outcomes.equals(generation["num_pairs"])
    assert set(table(folder, "idc")["grid"]) == {10, 50}
    assert set(table(folder, "ae")["alpha"]) == {0.8, 0.2}
    drawn = {path.name.split("-")[0] for path in (folder / "figures").glob("*.png")}
    assert drawn == set(FIGURES["karimi2020"])
    for path in (folder / "figures").glob("*.caption.md"):
        assert "seed 0" in path.read_text()


def test_the_instances_are_kept_with_what_the_tables_say_of_them(done):
    folder = measured(done)
    generation = table(folder, "generation")
    main_rows = generation[generation["alpha"].isna() | (generation["alpha"] == 0.8)]
    with np.load(next((folder / "arrays").glob("borderline-*.npz"))) as found:
        assert len(found["source"]) == main_rows["num_pairs"].sum()
        assert len(found["image"]) == len(found["features"]) == found["saved"].sum()
        good = found["outcome"] == 0
        assert good.sum() == main_rows["num_success"].sum()
        assert np.abs(found["p_source"] - found["p_target"])[good].max() < 1e-4
        ours = good & (found["method"] == "deepdig") & (found["source"] == 1)
        row = main_rows[(main_rows["method"] == "deepdig") & (main_rows["source"] == 1)].iloc[0]
        assert np.median(found["distance"][ours]) == pytest.approx(row["distance_median"], rel=1e-5)


def test_it_is_done_only_once_and_redrawn_with_the_same_bytes(done, tmp_path, capsys):
    before = hashes(measured(done) / "figures")
    assert main(["deepdig", f"run={done}", "pairs=[[1,2]]", *QUICK]) == 0
    assert "is finished already" in capsys.readouterr().out
    coarse = ["style.format=[png]", "style.dpi=50"]
    assert main(["figures", "paper=karimi2020", f"runs={done}", f"outputs={tmp_path}", *coarse]) == 0
    redrawn = hashes(tmp_path / "figures" / "karimi2020")
    assert {name: redrawn[name] for name in before} == before


def test_a_title_names_the_key_in_which_networks_of_one_architecture_differ(done, tmp_path):
    other = train(tmp_path, "training.epochs=5", "probe=[]", "optim.lr=0.02")
    assert main(["deepdig", f"run={other}", "pairs=[[1,2]]", *QUICK, "methods=[margin_bisect]"]) == 0
    (alone,) = detailed(find_runs([done])[0])
    assert alone.title == "digits, fcn"
    (found,) = detailed(find_runs([done, other])[0])
    assert found.title == f"digits, fcn, lr={found.source.record.config['optim']['lr']}"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_three_images_a_class_are_clean_rows(run):
    assert main(["deepdig", f"run={run}", "pairs=[[1,2]]", "num_train=30", "num_test=30", *QUICK]) == 0
    rows = table(measured(run), "generation")
    assert (rows["num_correct"] <= 3).all()
    assert (rows["num_pairs"] <= 3).all()
    ae = table(measured(run), "ae")
    assert (ae["num_images"] <= 3).all()


def test_a_class_that_is_never_predicted_is_clean_rows(tmp_path, capsys):
    """An untrained network knows few classes: no image of the others is a source or a target."""
    run = train(tmp_path, "training.epochs=0", "probe=[]")
    assert main(["deepdig", f"run={run}", "pairs=all", "num_train=30", "num_detailed=1", *QUICK, "steps=2"]) == 0
    folder = measured(run)
    rows = table(folder, "generation")
    assert len(rows[rows["alpha"].isna()]) == 90 * 4
    empty = rows[rows["num_correct"] == 0]
    assert len(empty) > 90
    assert (empty["num_pairs"] == 0).all()
    assert empty["success_rate"].isna().all()
    assert set(table(folder, "ae")["status"]) <= {"ok", "collapsed", "nothing kept"}
    assert "pairs-digits-fcn.png" in {path.name for path in (folder / "figures").iterdir()}
    drawn = pd.read_csv(folder / "figures" / "pairs-digits-fcn.csv")
    assert len(drawn) == 90
    ours = rows[(rows["method"] == "deepdig") & (rows["alpha"] == 0.8)]
    assert drawn["coverage"].isna().sum() == (ours["num_correct"] == 0).sum()
    # each direction without an instance is named
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("rpbs, train images")]
    lost = rows[(rows["method"] == "rpbs") & (rows["num_success"] == 0)]
    assert {f"{s}→{t}" for s, t in zip(lost["source"], lost["target"], strict=True)} == set(re.findall(r"\d→\d", line))
    assert "no image of the first class is predicted rightly" in line


def test_two_classes_have_no_third(tmp_path):
    run = train(tmp_path, "training.epochs=3", "dataset.num_test=40", "dataset.classes=[1,2]", "probe=[]")
    assert main(["deepdig", f"run={run}", "pairs=all", *QUICK, "num_detailed=0"]) == 0
    rows = table(measured(run), "generation")
    assert set(zip(rows["source"], rows["target"], strict=True)) == {(0, 1), (1, 0)}
    assert (rows["num_third"] == 0).all()
    assert (rows["num_success"] > 0).any()


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("pairs=[[1,1]]", "pairs=[[1,1]]: has one class twice in a pair"),
        ("pairs=[[1,12]]", "pairs: [1,12]: there is no class 12, only 0 to 9"),
        ("pairs=[[1,-1]]", "pairs=[[1,-1]]: classes are counted from 0"),
        ("pairs=[]", "pairs=[]: must not be empty"),
        ("pairs=some", "pairs=some: must be all or a list of pairs, as in [[1,2],[4,9]]"),
        ("methods=[deepdgi]", "did you mean deepdig?"),
        ("alphas=[0.8]", "alphas=[0.8]: needs 2 values"),
        ("checkpoint=7", "checkpoint=7: no such step in this run"),
    ],
)
def test_mistakes_are_answered_in_a_line(run, capsys, word, line):
    words = ["deepdig", f"run={run}", *QUICK, word]
    # Hydra ends the process of a single job
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert "Traceback" not in printed


def test_the_probe_measures_at_the_end_of_training(tmp_path):
    settings = [f"probe.deepdig.{word}" for word in QUICK[:-2]]
    words = ["probe=[deepdig]", "training.epochs=3", "probe.deepdig.pairs=[[0,1]]", *settings]
    run = train(tmp_path, *words, "probe.deepdig.methods=[deepdig,rpbs]")
    assert table(Path(run), "generation")["step"].nunique() == 1
    words = ["figures", "paper=karimi2020", "figure=success", f"runs={run}", f"outputs={tmp_path}"]
    assert main(words) == 0
    assert (tmp_path / "figures" / "karimi2020" / "success-digits-fcn.png").exists()


def test_data_that_are_no_images_are_drawn_too(tmp_path):
    """Points of the plane are images of 1 x 1 x 2."""
    words = [word for word in RUN if not word.startswith("dataset")]
    assert main([*words, "dataset=moons", "training.epochs=2", "probe=[]", f"outputs={tmp_path}"]) == 0
    (run,) = tmp_path.glob("runs/*/seed=*")
    assert main(["deepdig", f"run={run}", "pairs=[[0,1]]", "further_alphas=[]", *QUICK[:-4], *QUICK[-2:]]) == 0
    assert list((measured(str(run)) / "figures").glob("strips*.png"))
