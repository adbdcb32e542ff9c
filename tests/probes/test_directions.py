"""The probe `directions`: the same rays at every moment, images that have margins too, a table that fits."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from bdry.core.measuring import measuring
from bdry.core.moment import Moment
from bdry.core.norms import norm
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.directions.probe import numbered_directions
from bdry.studies.directions.settings import DirectionsSettings
from bdry.studies.margins.settings import MarginSettings
from bdry.studies.probes import PROBES, Context


def probe(data_seed=0, **settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", data_seed)
    base = {
        "num_train": 9,
        "num_test": 6,
        "num_directions": 4,
        "max_distance": 20.0,
        "num_samples": 50,
        "batch_size": 16,
    }
    return PROBES["directions"](context, DirectionsSettings(**(base | settings)))


@pytest.fixture
def classifier(tiny_dataset):
    return build_classifier("linear", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0)


def test_the_table_is_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    (name, rows), *others = probe().measure(classifier, tiny_dataset, Moment(3, 1.5)).tables.items()
    assert (name, others) == ("directions", [])
    assert set(rows.columns) == set(TABLES["directions"].column_names)
    TableWriter(tmp_path / "directions", TABLES["directions"]).append(rows)
    assert len(read_table(tmp_path / "directions", TABLES["directions"])) == (9 + 6) * 4
    assert set(rows["step"]) == {3}
    assert set(rows["epoch"]) == {1.5}
    assert rows["success"].nunique() == 2
    assert rows["distance"].notna().equals(rows["success"])
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, classifier.parameters(), strict=True))


def test_every_row_is_the_crossing_of_its_own_image_and_direction(tiny_dataset, classifier):
    rows = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["directions"]
    directions = numbered_directions(4, (1, 4, 4), 0)
    with measuring(classifier):
        weight = classifier.head.weight / 0.3
        for row in rows.itertuples():
            split = tiny_dataset.splits()[row.split]
            logits = classifier(split.pixels()[row.index : row.index + 1])[0]
            predicted = logits.argmax()
            rate = (weight - weight[predicted]) @ directions[row.direction].flatten()
            distance = torch.where(rate > 0, (logits[predicted] - logits) / rate, torch.inf)
            assert row.correct == bool(predicted == split.labels[row.index])
            assert row.success == bool(distance.min() < 20)
            if row.success:
                assert row.distance == pytest.approx(float(distance.min()), rel=1e-4)
                assert row.boundary_class == int(distance.argmin())


def test_the_images_have_margins_where_the_margin_probe_takes_as_many(tiny_dataset, classifier):
    rows = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["directions"]
    margin = (
        PROBES["margin"](
            probe().context, MarginSettings(num_train=20, num_test=6, norms=["l2"], clipped=[False], batch_size=50)
        )
        .measure(classifier, tiny_dataset, Moment(0, 0.0))
        .tables["margins"]
    )
    keys = ["split", "index"]
    both = rows.merge(margin[[*keys, "correct", "margin"]], on=keys, suffixes=("", "_margin"))
    assert len(both) == len(rows)
    assert both["correct"].equals(both["correct_margin"])
    assert bool((both["distance"] > 0.999 * both["margin"])[both["success"]].all())


def test_subsets_are_nested(tiny_dataset):
    for split in tiny_dataset.splits().values():
        chosen = [set(split.balanced(size, 7).index.tolist()) for size in range(len(split) + 2)]
        assert all(small <= large for small, large in itertools.pairwise(chosen))


def test_the_same_rays_whatever_the_moment_and_the_batches(tiny_dataset, classifier):
    first = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["directions"]
    again = probe(batch_size=1000).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["directions"]
    later = probe().measure(classifier, tiny_dataset, Moment(9, 1.0)).tables["directions"]
    other = probe(data_seed=1).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["directions"]
    measured = ["split", "index", "correct", "direction", "distance", "success", "boundary_class"]
    assert first[measured].equals(later[measured])
    np.testing.assert_allclose(first["distance"], again["distance"], rtol=1e-4)
    assert not first["distance"].equals(other["distance"])


def test_directions_are_unit_vectors_and_more_of_them_leave_the_first_as_they_were():
    few, many = numbered_directions(3, (3, 8, 8), 0), numbered_directions(400, (3, 8, 8), 0)
    torch.testing.assert_close(norm(many, "l2"), torch.ones(400))
    assert torch.equal(few, many[:3])
    # uniform on the sphere: mean 0, and each coordinate of variance 1 / 192
    cosines = many.flatten(1) @ many.flatten(1).T
    off = cosines[~torch.eye(400, dtype=torch.bool)]
    assert float(off.var()) == pytest.approx(1 / 192, rel=0.05)
    assert float(many.mean(0).norm()) == pytest.approx(400**-0.5, rel=0.2)


def test_nothing_to_measure_gives_no_table(tiny_dataset, classifier):
    assert probe(num_train=0, num_test=0).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables == {}


def test_training_with_all_probes_leaves_their_tables(tmp_path):
    words = ["train", "dataset=digits", "probe=[margin,directions,noise]", "training.epochs=1", "threads=1"]
    small = ["probe.margin.num_train=20", "probe.margin.num_test=20", "evaluation.robust_images=0"]
    moments = [
        "moments.steps=[0]",
        "arch.init=kaiming",
        "probe.directions.num_train=10",
        "probe.directions.num_test=10",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bdry", *words, *small, *moments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = (tmp_path / "outputs" / "runs").glob("*/seed=*")
    tables = {name: pd.read_csv(run / "tables" / f"{name}.csv") for name in ("margins", "directions", "noise")}
    for name, rows in tables.items():
        assert list(rows.columns) == TABLES[name].column_names
        assert rows["step"].nunique() == 2
    assert len(tables["directions"]) == 2 * 20 * 5
    assert len(tables["noise"]) == 2 * 2 * 5
