"""The probe `deepdig` on noise and a linear classifier: the schemas' tables, the same again, nothing disturbed."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from bdry.core.moment import Moment
from bdry.errors import UsageError
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.deepdig.settings import DeepDigSettings
from bdry.studies.probes import PROBES, Context

QUICK = {
    "pairs": [[0, 1]],
    "steps": 20,
    "batch_size": 8,
    "widths": [12, 6],
    "min_collapse_ratio": 0.0,
    "log_every": 10,
    "num_partners": 3,
    "max_starts": 4,
    "grid": 20,
    "further_grids": [10],
    "further_alphas": [0.2],
}


def probe(**settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", 0)
    return PROBES["deepdig"](context, DeepDigSettings(**(QUICK | settings)))


@pytest.fixture
def classifier(tiny_dataset):
    """Linear, its rows the classes' mean images: noise is told apart by it now and then."""
    return build_classifier("linear", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0)


def test_tables_are_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    found = probe().measure(classifier, tiny_dataset, Moment(3, 1.5))
    assert set(found.tables) <= {"ae", "ae_training", "generation", "bisection", "idc", "edc", "runtime"}
    for name, rows in found.tables.items():
        assert set(rows.columns) == set(TABLES[name].column_names)
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
        assert set(rows["step"]) == {3}
    assert set(found.arrays) == {"borderline", "pictures"}
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, classifier.parameters(), strict=True))


def test_the_same_seed_gives_the_same_and_another_does_not(tiny_dataset, classifier):
    first, again, other = (probe(seed=seed).measure(classifier, tiny_dataset, Moment(0, 0.0)) for seed in (0, 0, 1))
    for name in first.tables.keys() - {"runtime"}:
        assert first.tables[name].equals(again.tables[name]), name
    for file, arrays in first.arrays.items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, again.arrays[file][name])
    assert not first.tables["ae_training"].equals(other.tables["ae_training"])


def test_all_pairs_come_each_followed_by_its_reverse():
    assert probe(pairs="all").directions(3) == [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    assert probe(pairs=[[2, 0], [0, 2], [0, 1]]).directions(3) == [(2, 0), (0, 2), (0, 1), (1, 0)]
    with pytest.raises(UsageError, match="there is no class 3, only 0 to 2"):
        probe(pairs=[[0, 3]]).directions(3)


def test_without_methods_that_train_nothing_is_trained(tiny_dataset, classifier):
    found = probe(methods=["rpbs"], steps=10**9).measure(classifier, tiny_dataset, Moment(0, 0.0))
    assert set(found.tables) <= {"generation", "bisection", "idc", "runtime"}
    assert found.tables["generation"]["alpha"].isna().all()
