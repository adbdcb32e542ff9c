"""The specification's statistical acceptance (karimi2020 section 7.2) on MNIST: medians of three seeds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdry.cli import main

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]

SEEDS = (0, 1, 2)
TRAIN = [
    "dataset=mnist",
    "dataset.num_train=6000",
    "dataset.num_test=1500",
    "optim.lr=0.01",
    "optim.schedule=cosine",
    "training.epochs=8",
    "evaluation.robust_images=0",
    "moments.steps=[]",
    "moments.epochs=[]",
    "probe=[]",
]
MEASURE = ["steps=1500", "partners=10", "max_starts=100", "further_grids=[200]", "num_saved=0"]


class Study:
    """The tables of the three seeds of an architecture."""

    def __init__(self, folder: Path, arch: str, data_root: str, pairs: str, *more: str) -> None:
        self.tables: dict[str, list[pd.DataFrame]] = {}
        for seed in SEEDS:
            outputs = folder / arch / str(seed)
            words = [*TRAIN, f"dataset.root={data_root}", f"arch={arch}", f"seed={seed}", f"outputs={outputs}"]
            assert main(["train", *words]) == 0
            (run,) = outputs.glob("runs/*/seed=*")
            assert main(["deepdig", f"run={run}", f"pairs={pairs}", f"seed={seed}", *MEASURE, *more]) == 0
            (measured,) = (run / "measurements").glob("deepdig-*")
            for path in [run / "tables" / "history.csv", *(measured / "tables").glob("*.csv")]:
                self.tables.setdefault(path.stem, []).append(pd.read_csv(path))

    def median(self, table: str, value, **where) -> float:
        """Over seeds, of a column, or of what a function makes of the one row that fits."""
        found = []
        for rows in self.tables[table]:
            fits = np.logical_and.reduce([rows[column] == wanted for column, wanted in where.items()], initial=True)
            row = rows[np.broadcast_to(fits, len(rows))].iloc[-1]
            found.append(value(row) if callable(value) else row[value])
        return float(np.median(found))


THERE, BACK = {"source": 1, "target": 2}, {"source": 2, "target": 1}
DIRECTIONS = (THERE, BACK)


@pytest.fixture(scope="module")
def fcn(tmp_path_factory) -> Study:
    return Study(tmp_path_factory.mktemp("fcn"), "fcn", _root(), "[[1,2],[4,9]]")


@pytest.fixture(scope="module")
def cnn(tmp_path_factory) -> Study:
    return Study(tmp_path_factory.mktemp("cnn"), "cnn", _root(), "[[1,2]]", "num_detailed=0")


def _root() -> str:
    root = Path(os.environ.get("BDRY_DATA", "~/.cache/bdry")).expanduser()
    if not (root / "MNIST").is_dir():
        pytest.skip(f"no MNIST in {root}: run ../shared/data/prepare or set BDRY_DATA")
    return str(root)


def test_classifiers_are_accurate(fcn, cnn):
    assert fcn.median("history", "test_accuracy") > 0.91
    assert cnn.median("history", "test_accuracy") > 0.95


def test_autoencoders_reach_their_class_without_collapse(fcn):
    def kept(row):
        return row["num_kept"] / row["num_images"]

    def kept_test(row):
        return row["num_kept_test"] / row["num_test"]

    def loss(row):
        return row["reconstruction_last"] + 0.8 * row["class_last"]

    for direction, on_test, largest in ((THERE, 0.90, 0.09), (BACK, 0.75, 0.25)):
        first = {"stage": 1, "alpha": 0.8, **direction}
        assert fcn.median("ae", kept, **first) >= 0.97
        assert fcn.median("ae", kept_test, **first) >= on_test
        assert fcn.median("ae", loss, **first) < largest
        for stage in (1, 2):
            assert fcn.median("ae", "collapse_ratio", **first | {"stage": stage}) > 0.4


def test_success_of_deepdig_and_of_real_pairs(fcn, cnn):
    for study in (fcn, cnn):
        for direction in DIRECTIONS:
            ours = {"method": "deepdig", "alpha": 0.8, **direction}
            assert study.median("generation", "success_rate", **ours) >= 0.98
            assert 12 <= study.median("generation", "attempts_success", **ours) <= 17
    random = fcn.median("generation", "success_rate", method="rpbs", **THERE)
    nearest = fcn.median("generation", "success_rate", method="epbs", **THERE)
    ours = fcn.median("generation", "success_rate", method="deepdig", alpha=0.8, **THERE)
    assert 0.4 <= random <= 0.9
    assert random <= ours - 0.10
    assert random < nearest < ours
    # no gap on every pair
    assert fcn.median("generation", "success_rate", method="rpbs", source=4, target=9) >= 0.9


def test_flips_a_segment(fcn, cnn):
    ours = {"method": "deepdig", "alpha": 0.8, "grid": 50}
    flips = {name: [study.median("idc", "flips", **ours, **d) for d in DIRECTIONS] for name, study in _both(fcn, cnn)}
    assert all(0.5 <= value <= 1.3 for value in flips["fcn"])
    assert all(0.8 <= value <= 2.0 for value in flips["cnn"])
    assert sum(flips["cnn"]) > sum(flips["fcn"])


def _both(fcn, cnn):
    return (("fcn", fcn), ("cnn", cnn))


def test_the_svm_separates_the_classes_and_not_the_borderline(fcn):
    accuracy = {split: fcn.median("edc", "acc", plane="svm", split=split, **THERE) for split in ("train", "test")}
    assert accuracy["train"] >= 0.99
    assert accuracy["test"] >= 0.97
    assert 0.25 <= fcn.median("edc", "acc", plane="svm", split="borderline", **THERE) <= 0.75
    assert 0.3 <= fcn.median("edc", "N_all", plane="svm", split="borderline", **THERE) <= 0.6
    assert fcn.median("edc", "N_all", plane="svm", split="train", **THERE) > 0.8


def test_distances_on_common_sources_are_in_order(fcn):
    for direction in DIRECTIONS:
        ours, image = (
            fcn.median("generation", "distance_common", method=method, alpha=0.8, **direction)
            for method in ("deepdig", "real_ae1")
        )
        attack = fcn.median("generation", "distance_common", method="margin_bisect", **direction)
        assert attack < image < ours


def test_a_larger_alpha_goes_farther_and_bunches_up(fcn):
    alphas = (0.05, 0.2, 0.8, 3.0)
    ours = [{"method": "deepdig", "alpha": alpha, **BACK} for alpha in alphas]
    distances = [fcn.median("generation", "distance_median", **where) for where in ours]
    spreads = [fcn.median("generation", "spread", **where) for where in ours]
    assert distances == sorted(distances)
    assert spreads == sorted(spreads, reverse=True)
