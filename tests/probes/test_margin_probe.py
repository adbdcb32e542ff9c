"""The probe `margin`: the same images every time, tables that fit their schemas, summaries that add up."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from bdry.core.moment import Moment
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.margins.probe import summarise
from bdry.studies.margins.settings import MarginSettings
from bdry.studies.probes import PROBES, Context


def probe(beside=(), **settings):
    estimators = {name: functools.partial(ESTIMATORS[name]) for name in beside}
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", data_seed=0, beside=estimators)
    base = {"num_train": 9, "num_test": 6, "norms": ["l2", "linf"], "clipped": [False, True], "batch_size": 4}
    return PROBES["margin"](context, MarginSettings(**(base | settings)))


@pytest.fixture
def classifier(tiny_dataset):
    options = {"widths": [16], "activation": "relu"}
    return build_classifier("mlp", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0, options=options)


def test_tables_fit_their_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    tables = probe().measure(classifier, tiny_dataset, Moment(3, 1.5)).tables
    assert set(tables) == {"margins", "margin_summary", "first_order"}
    for name, rows in tables.items():
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
    margins = tables["margins"]
    assert len(margins) == (9 + 6) * 2 * 2
    assert set(margins["step"]) == {3}
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, classifier.parameters(), strict=True))


def test_the_same_images_at_every_moment_and_batch_size(tiny_dataset, classifier):
    first = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["margins"]
    again = probe(batch_size=64).measure(classifier, tiny_dataset, Moment(9, 1.0)).tables["margins"]
    keys = ["split", "norm", "clipped", "index"]
    first, again = (table.sort_values(keys, ignore_index=True) for table in (first, again))
    assert first[keys].equals(again[keys])
    np.testing.assert_allclose(first["margin"], again["margin"], rtol=1e-4)
    balance = first[(first["norm"] == "l2") & ~first["clipped"]].groupby("split")["label"].value_counts()
    assert set(balance["train"]) == {3}
    assert set(balance["test"]) == {2}


def test_labels_predictions_and_confidence_belong_to_the_image(tiny_dataset, classifier):
    rows = probe(norms=["linf"], clipped=[False]).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["margins"]
    for row in rows.itertuples():
        split = tiny_dataset.splits()[row.split]
        logits = classifier(split.pixels()[row.index : row.index + 1])[0].detach()
        top = logits.topk(2).values
        assert (row.label, row.predicted) == (int(split.labels[row.index]), int(logits.argmax()))
        assert row.correct == (row.label == row.predicted)
        assert row.logit_gap == pytest.approx(float(top[0] - top[1]), abs=1e-5)
        assert row.confidence == pytest.approx(float(logits.softmax(0).max()), abs=1e-5)


def test_failures_stay_out_of_the_statistics(tiny_dataset, classifier):
    margins = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["margins"]
    chosen = margins[(margins["split"] == "train") & (margins["norm"] == "l2") & ~margins["clipped"]].copy()
    chosen.iloc[0, chosen.columns.get_loc("success")] = False
    chosen.iloc[0, chosen.columns.get_loc("margin")] = np.nan
    everything = summarise(chosen).set_index("subset").loc["all"]
    assert (everything["num_images"], everything["num_success"]) == (9, 8)
    assert everything["success_rate"] == pytest.approx(8 / 9)
    assert everything["mean"] == pytest.approx(np.nanmean(chosen["margin"].astype(float)))
    chosen["success"] = False
    assert np.isnan(summarise(chosen).set_index("subset").loc["all"]["median"])


def test_subsets_without_images_have_no_row(tiny_dataset, classifier):
    margins = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["margins"]
    subsets = summarise(margins[margins["correct"]])["subset"]
    assert set(subsets) == {"all", "correct"}


def test_nothing_to_measure_gives_no_table(tiny_dataset, classifier):
    assert probe(num_train=0, num_test=0).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables == {}


def test_estimators_beside_measure_the_same_images_in_rows_of_their_own(tiny_dataset, classifier):
    alone, both = (
        probe(beside).measure(classifier, tiny_dataset, Moment(3, 1.5)).tables for beside in ((), ("walk", "fmn"))
    )
    assert both["margins"]["estimator"].unique().tolist() == ["deepfool", "walk", "fmn"]
    by_name = {name: rows.reset_index(drop=True) for name, rows in both["margins"].groupby("estimator")}
    own = by_name["deepfool"]
    assert own.equals(alone["margins"])
    order = ["split", "norm", "clipped", "index"]
    keys = [*order, "label", "predicted", "correct"]
    assert all(rows[keys].equals(own[keys]) for rows in by_name.values())
    known = own["success"] & by_name["walk"]["success"]
    assert by_name["walk"]["margin"][known].mean() < own["margin"][known].mean()
    summed = both["margin_summary"]
    means = by_name["walk"].groupby(["split", "norm", "clipped"])["margin"].mean()
    found = summed[(summed["estimator"] == "walk") & (summed["subset"] == "all")]
    np.testing.assert_allclose(found.set_index(["split", "norm", "clipped"])["mean"].sort_index(), means, rtol=1e-6)


def test_to_first_order_an_affine_network_has_its_exact_margins(tiny_dataset):
    linear = build_classifier("linear", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0, options={})
    tables = probe(clipped=[False]).measure(linear, tiny_dataset, Moment(0, 0.0)).tables
    keys = ["split", "norm", "index"]
    exact, split = (tables[name].set_index(keys).sort_index() for name in ("margins", "first_order"))
    np.testing.assert_allclose(split["margin"], exact["margin"], rtol=2e-4)
    assert (split["boundary_class"] == exact["boundary_class"]).all()


def test_the_split_adds_up_in_logarithms(tiny_dataset, classifier):
    rows = probe().measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["first_order"]
    assert len(rows) == (9 + 6) * 2
    np.testing.assert_allclose(
        np.log(rows["margin"]), np.log(rows["logit_gap"]) - np.log(rows["gradient_norm"]), rtol=1e-5, atol=1e-6
    )
    # against differences of the logits themselves, an image at a time
    for row in rows[rows["split"] == "test"].itertuples():
        images = tiny_dataset.test.pixels()[row.index : row.index + 1].double()
        model = copy.deepcopy(classifier).double().eval()

        def gap(x, model=model, row=row):
            logits = model(x.view(1, 1, 4, 4))[0]
            return logits[row.predicted] - logits[row.boundary_class]

        gradient = torch.autograd.functional.jacobian(gap, images.flatten())
        length = gradient.norm(2 if row.norm == "l2" else 1)
        assert row.gradient_norm == pytest.approx(float(length.detach()), rel=1e-4)
        assert row.logit_gap == pytest.approx(float(gap(images.flatten()).detach()), rel=1e-4, abs=1e-5)
