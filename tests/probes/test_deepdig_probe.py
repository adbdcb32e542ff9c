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
from bdry.studies.deepdig.summary import summary
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


def test_the_share_of_all_steps_that_is_made_grows_from_nothing_to_all(tiny_dataset, classifier):
    """Of both directions of a pair, and of its further alpha."""
    said, shares = [], []
    context = Context(None, "none", 0, say=said.append, share=shares.append)
    PROBES["deepdig"](context, DeepDigSettings(**QUICK)).measure(classifier, tiny_dataset, Moment(3, 1.5))
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.4 < shares[-1] < 1
    assert said[0] == "autoencoders of 2 pairs, stage 1, step 0 of 20"


def test_tables_are_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    found = probe().measure(classifier, tiny_dataset, Moment(3, 1.5))
    assert set(found.tables) <= {
        *("ae", "ae_training", "generation", "bisection", "idc", "idc_pairs", "edc", "scores", "confusion", "runtime")
    }
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
    assert set(found.tables) <= {"generation", "bisection", "idc", "idc_pairs", "scores", "confusion", "runtime"}
    assert found.tables["generation"]["alpha"].isna().all()


def test_instances_of_test_images_have_tables_and_arrays_of_their_own(tiny_dataset, classifier):
    train, both = (
        probe(instances=of).measure(classifier, tiny_dataset, Moment(0, 0.0)) for of in (["train"], ["train", "test"])
    )
    for name in train.tables.keys() - {"runtime", "idc_pairs"}:
        assert both.tables[name].equals(train.tables[name]), name
    assert both.tables.keys() - train.tables.keys() == {"generation_test", "idc_test"}
    for name in ("generation_test", "idc_test"):
        assert set(both.tables[name].columns) == set(TABLES[name].column_names)
    instances = both.arrays["borderline_test"]
    assert set(instances["index"]) <= set(tiny_dataset.test.index.tolist())
    assert len(instances["index"]) > 0
    assert set(instances) == set(both.arrays["borderline"])
    assert set(both.tables["idc_pairs"]["instances"]) == {"train", "test"}


def test_pairs_have_the_mean_of_both_directions(tiny_dataset, classifier):
    found = probe().measure(classifier, tiny_dataset, Moment(0, 0.0))
    idc = found.tables["idc"]
    pairs = found.tables["idc_pairs"]
    assert set(pairs.columns) == set(TABLES["idc_pairs"].column_names)
    assert len(pairs) == 6
    for row in pairs.itertuples():
        main = idc[(idc["method"] == row.method) & (idc["grid"] == 20) & (idc["alpha"] != 0.2)]
        assert len(main) == 2
        np.testing.assert_allclose(row.flips, main["flips"].mean(skipna=False))
        np.testing.assert_allclose(row.flips_error, np.hypot(*main["flips_error"]) / 2)


def test_brackets_keep_the_probabilities_at_both_ends(tiny_dataset, classifier):
    found = probe(methods=["rpbs"]).measure(classifier, tiny_dataset, Moment(0, 0.0)).arrays["borderline"]
    assert found["p_low"].shape == found["p_high"].shape == (len(found["source"]), 2)
    known = np.isfinite(found["p_low"]).all(1) & np.isfinite(found["p_high"]).all(1)
    assert known.any()
    # p_s above p_t on the side of s, below it on that of t
    assert (found["p_low"][known, 0] >= found["p_low"][known, 1]).all()
    assert (found["p_high"][known, 0] <= found["p_high"][known, 1]).all()


def test_the_classifier_is_scored_class_by_class(tiny_dataset, classifier):
    tables = probe(methods=["rpbs"]).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables
    classifier.eval()
    for name, split in (("train", tiny_dataset.train), ("test", tiny_dataset.test)):
        of_split = tables["confusion"][tables["confusion"]["split"] == name]
        counts = of_split.pivot(index="label", columns="predicted", values="num_images").to_numpy()
        predicted = classifier(split.pixels()).argmax(1)
        assert counts.sum() == len(split)
        assert np.trace(counts) == int((predicted == split.labels).sum())
        scores = tables["scores"][tables["scores"]["split"] == name]
        np.testing.assert_allclose(scores["accuracy"], np.diag(counts) / counts.sum(axis=1))
        np.testing.assert_allclose(scores["overall"], float((predicted == split.labels).double().mean()))


def test_peak_memory_is_that_of_a_process_with_torch(tiny_dataset, classifier):
    runtime = probe(methods=["rpbs"]).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["runtime"]
    least = 0 if torch.cuda.is_available() else 100
    assert runtime["peak_memory"].between(least, 100_000).all()


def test_coverage_and_the_directions_that_failed_are_told(tiny_dataset, classifier):
    settings = DeepDigSettings(**(QUICK | {"pairs": "all", "min_collapse_ratio": 100.0, "max_restarts": 0}))
    tables = probe(**vars(settings)).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables
    rows, *lines = summary(tables.get, vars(settings))
    told = {row[1]: dict(zip(rows.headings, row, strict=True)) for row in rows.rows}
    assert told["deepdig"]["directions"] == "6"
    assert told["deepdig"]["without one"] == "6"
    assert told["deepdig"]["coverage"] == "0.0%"
    of_rpbs = tables["generation"][tables["generation"]["method"] == "rpbs"]
    assert told["rpbs"]["coverage"] == f"{of_rpbs['num_pairs'].sum() / of_rpbs['num_correct'].sum():.1%}"
    (line,) = [line for line in lines if line.startswith("deepdig,")]
    assert line.endswith("no instance of 0→1, 0→2, 1→0, 1→2, 2→0, 2→1 (stage 1: collapsed)")
