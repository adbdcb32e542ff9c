"""The probe `svm`: layers whose SVM is known, tables that fit, and features that make trouble."""

from __future__ import annotations

import dataclasses
import functools
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.data import DATASETS, Dataset, Split
from bdry.errors import UsageError
from bdry.lastlayer import TrainingRecipe, continue_last_layer, hard_margin_svm, last_layer, retrain_last_layer
from bdry.margins import ESTIMATORS
from bdry.models.classifier import Classifier, Normalise
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.lastlayer.settings import StageSettings, SvmSettings
from bdry.studies.probes import PROBES, Context

SETTINGS = {
    "num_train": None,
    "num_test": None,
    "variants": ["S1", "S3", "paper"],
    "gap": 1e-6,
    "max_work": 5.0,
    "num_grid_points": 200,
    "grid_seed": 100,
    "map_resolution": 21,
    "batch_size": 64,
}
MOMENT = Moment(5, 0.5)


@dataclasses.dataclass
class Settings(SvmSettings, StageSettings):
    """As the command has them, without the run."""


def probe(recipe=None, **settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"]), "deepfool", 0)
    return PROBES["svm"](context, Settings(**SETTINGS | settings), recipe)


class Scaled(nn.Module):
    """Flattened pixels, times a factor, each of them, or none where it is 0."""

    def __init__(self, factors):
        super().__init__()
        self.register_buffer("factors", torch.tensor(factors))

    def forward(self, x):
        return x.flatten(1) * self.factors


def classifier(weights, biases, factors):
    weights = torch.as_tensor(weights, dtype=torch.float32)
    head = nn.Linear(weights.shape[1], len(weights), device="meta").to_empty(device="cpu")
    head.weight.data, head.bias.data = weights, torch.as_tensor(biases, dtype=torch.float32)
    return Classifier(Normalise([0.0], [1.0]), Scaled(factors), head)


def toy(num_classes=2, name="blobs", n=120):
    settings = {"num_classes": num_classes} if name == "blobs" else {}
    return DATASETS[name](num_points=n, noise=0.03 if name == "blobs" else 0.0, seed=0, **settings)


def solution(dataset, factors=(1.0, 1.0), bias="penalised"):
    features = dataset.train.pixels().flatten(1) * torch.tensor(factors)
    return hard_margin_svm(features, dataset.train.labels, bias, num_classes=dataset.num_classes).layer


def at_the_limit(dataset, factors=(1.0, 1.0)):
    """A network whose last layer is S1 of its features, but for the rounding of its parameters."""
    layer = solution(dataset, factors)
    return classifier(layer.weights, layer.biases, factors)


def midway(dataset, factors=(1.0, 1.0)):
    """The SVM with a free bias."""
    layer = solution(dataset, factors, bias="free")
    return classifier(layer.weights, layer.biases, factors)


def off_the_limit(dataset, degrees=10.0):
    """S1 turned around the middle of the square, by so little that blobs stay apart."""
    layer = solution(dataset)
    turn = math.radians(degrees)
    turned = (
        layer.weights @ torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]).double()
    )
    centre = torch.tensor([0.5, 0.5]).double()
    return classifier(turned, layer.biases + (layer.weights - turned) @ centre, (1.0, 1.0))


def table(measured, name="svm_convergence", **where):
    rows = measured.tables[name]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (1e4, 1e4), (1e-3, 2e-3)], ids=["pixels", "large", "small"])
def test_a_layer_at_the_limit_is_found_there(num_classes, factors):
    dataset = toy(num_classes)
    found = probe().measure(at_the_limit(dataset, factors), dataset, MOMENT)
    (row,) = table(found, variant="S1").to_dict("records")
    assert row["separable"]
    assert row["angle_full_deg"] < 0.02
    assert row["margin_ratio"] == pytest.approx(1, abs=1e-3)
    assert (row["jaccard_margin"], row["agree_train"], row["agree_grid"]) == (1, 1, pytest.approx(1, abs=0.01))
    assert row["feature_dim"] == 2
    assert set(found.tables["svm_convergence"]["variant"]) == {"S1", "S3", "SVC" if num_classes == 2 else "OvR"}
    # the layer as it is has no rates
    assert "svm_rate_fit" not in found.tables


def test_the_bias_of_a_free_bias_svm_is_midway():
    dataset = toy()
    (row,) = probe().measure(midway(dataset), dataset, MOMENT).tables["svm_bias"].to_dict("records")
    assert row["beta_nn"] == pytest.approx(0.5, abs=1e-3)
    assert row["beta_s3"] == pytest.approx(0.5, abs=1e-6)
    assert row["bias_diff"] == pytest.approx(0, abs=1e-3)


def recipe(batch_size, epochs=4, momentum=0.9):
    sgd = functools.partial(torch.optim.SGD, lr=0.5, momentum=momentum)
    return TrainingRecipe(sgd, lambda done: 0.5, epochs, batch_size)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stage": "accelerated", "fresh": True},
        {"stage": "last_only", "momentum": 0.0, "steps": 50},
        {"study": "bias", "recipe": recipe(20), "num_checkpoints": 5},
        {"variants": ["S1", "S2", "hard_ovr"]},
    ],
    ids=["whole", "accelerated", "last_only", "bias", "other SVMs"],
)
def test_rows_fit_the_tables(tmp_path, settings):
    dataset = toy(3)
    found = probe(**settings).measure(off_the_limit(dataset), dataset, MOMENT)
    for name, rows in found.tables.items():
        TableWriter(tmp_path / f"{name}.csv", TABLES[name]).append(rows)
        assert len(read_table(tmp_path / f"{name}.csv", TABLES[name])) == len(rows)
    assert "svm_convergence" in found.tables
    compared = table(found, variant="S1")
    assert compared["cos_ge_ratio"].all()


def test_features_of_size_ten_thousand_are_clean_rows_of_a_layer_that_is_not_there():
    dataset = toy(3)
    net = off_the_limit(dataset)
    # the same logits from large features, where steps that W can take hardly move the bias
    net.body.factors *= 1e4
    net.head.weight.data /= 1e4
    found = probe(stage="accelerated", steps=300).measure(net, dataset, MOMENT)
    rows = table(found, variant="S1")
    assert rows[["angle_full_deg", "margin_ratio", "log_n_times_loss"]].notna().all().all()
    assert rows["separable"].all()
    assert rows["cos_ge_ratio"].all()
    assert rows["margin_ratio"].max() < 0.99


def test_the_accelerated_stage_ends_at_the_svm():
    dataset = toy(3)
    found = probe(stage="accelerated", stop_degrees=0.5).measure(off_the_limit(dataset), dataset, MOMENT)
    angles = table(found, variant="S1")["angle_full_deg"]
    assert angles.iloc[-1] <= 0.5 < angles.iloc[0]
    assert set(found.tables["svm_convergence"]["stage"]) == {"accelerated"}


def test_rates_of_loss_scaled_steps():
    dataset = toy()
    found = probe(stage="last_only_loss_scaled", steps=2000, stop_degrees=1e-6).measure(
        off_the_limit(dataset), dataset, MOMENT
    )
    (fit,) = found.tables["svm_rate_fit"].to_dict("records")
    assert fit["c_theta"] > 0
    assert fit["svm_norm"] == pytest.approx(float(solution(dataset).joint().norm()))
    assert fit["num_checkpoints"] == (table(found, variant="S1")["stage_step"] > 0).sum()


def test_the_bias_experiment_has_all_its_arms():
    dataset = toy()
    net = midway(dataset, factors=(100.0, 100.0))
    found = probe(study="bias", recipe=recipe(20), num_checkpoints=5).measure(net, dataset, MOMENT)
    rows = table(found, variant="S1")
    arms = rows.groupby(["rescaled", "stage", "fresh"])["stage_step"].max().to_dict()
    steps = 4 * math.ceil(len(dataset.train) / 20)
    one = {("whole", False): 0, ("last_only", True): steps, ("last_only_loss_scaled", True): steps}
    assert arms == {(flag, *arm): value for flag in (False, True) for arm, value in one.items()}
    rms = rows.groupby("rescaled")["feature_rms"].first()
    assert rms[True] == pytest.approx(1)
    # the same classifier on rescaled features, and S3 is the same too; S1 is another one
    whole = rows[rows["stage"] == "whole"].set_index("rescaled")
    assert whole["n_times_loss"][True] == pytest.approx(whole["n_times_loss"][False])
    bias = table(found, "svm_bias", stage="whole").set_index("rescaled")
    assert bias["beta_s3"][True] == pytest.approx(bias["beta_s3"][False])
    assert abs(whole["angle_w_deg"][True] - whole["angle_w_deg"][False]) > 1


def test_retraining_with_whole_batches_is_the_momentum_method():
    dataset = toy(3)
    features, labels = dataset.train.pixels().flatten(1).double(), dataset.train.labels
    start = last_layer(torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))
    *_, alone = retrain_last_layer(features, labels, start, recipe(len(features), epochs=30), seed=0, checkpoints=4)
    *_, full = continue_last_layer(features, labels, start, "momentum", steps=30, lr=0.5, momentum=0.9)
    assert alone.step == 30
    assert alone.lr_sum == pytest.approx(15)
    torch.testing.assert_close(alone.layer.joint(), full.layer.joint())


def relabelled(dataset, labels, names=("a", "b")):
    def split(part):
        return Split(part.images, labels(part).long(), part.index)

    return Dataset("relabelled", split(dataset.train), split(dataset.test), names)


@pytest.mark.parametrize(
    "settings", [{}, {"stage": "accelerated"}, {"study": "bias", "recipe": recipe(20)}], ids=["whole", "stage", "bias"]
)
def test_features_that_no_layer_separates_are_clean_rows(settings):
    dataset = relabelled(toy(4, n=400), lambda part: part.index % 2)
    net = classifier([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], (1.0, 1.0))
    started = time.monotonic()
    found = probe(**settings, variants=["S1", "S2", "S3", "paper", "soft"]).measure(net, dataset, MOMENT)
    assert time.monotonic() - started < 20
    assert set(found.tables) == {"svm_convergence", "svm_timings"}
    assert set(found.tables["svm_convergence"]["stage"]) == {"whole"}
    hard = table(found)[table(found)["variant"].isin(["S1", "S2", "S3"])]
    assert not hard["separable"].any()
    assert (hard["status"] == "not separable").all()
    assert hard[["angle_full_deg", "margin_ratio", "svm_test_acc", "agree_train"]].isna().all().all()
    assert not found.tables["svm_convergence"]["converged"].any()
    soft = table(found)[table(found)["variant"].isin(["SVC", "soft S1"])]
    assert (soft["C"] == 1).all()
    assert soft["angle_full_deg"].notna().all()
    assert soft["margin_ratio"].isna().all()
    assert set(found.arrays["svm"]) & {"margins_s1", "feature_support"} == set()


def test_a_class_that_the_subset_lacks_keeps_its_row():
    dataset = relabelled(toy(2), lambda part: 2 * part.labels, names=("a", "b", "c"))
    net = classifier(torch.randn(3, 2, generator=torch.Generator().manual_seed(1)), [0.0] * 3, (1.0, 1.0))
    found = probe().measure(net, dataset, MOMENT)
    (row,) = table(found, variant="S1").to_dict("records")
    assert (row["num_classes"], row["separable"]) == (3, True)
    assert row["svm_test_acc"] == 1


def test_a_layer_of_dead_units_is_a_clean_row():
    dataset = toy(2)
    net = classifier([[1.0, 0.0], [-1.0, 0.5]], [0.0, 0.1], (0.0, 0.0))
    rows = table(probe(stage="accelerated").measure(net, dataset, MOMENT))
    assert (rows["dead_features"] == 2).all()
    assert not rows["separable"].any()
    assert not rows["converged"].any()
    assert rows["train_loss_mean"].notna().all()


def test_a_dead_unit_is_counted_and_harms_nothing():
    dataset = relabelled(toy(2), lambda part: part.labels)
    net = classifier([[1.0, 0.0], [-1.0, 0.5]], [0.0, 0.1], (1.0, 0.0))
    found = probe(stage="accelerated").measure(net, dataset, MOMENT)
    assert (found.tables["svm_convergence"]["dead_features"] == 1).all()
    assert table(found, variant="S1")["separable"].all()
    assert found.arrays["svm"]["feature_nn"].shape == (21, 21)


def test_one_label_is_one_clear_line():
    dataset = relabelled(toy(2), lambda part: 0 * part.labels)
    with pytest.raises(UsageError, match="step 5: a boundary needs samples of two classes"):
        probe().measure(classifier(torch.eye(2), [0.0, 0.0], (1.0, 1.0)), dataset, MOMENT)


def test_features_that_are_not_finite_are_one_clear_line():
    with pytest.raises(UsageError, match=r"step 5: .*not finite"):
        probe().measure(classifier(torch.eye(2), [0.0, 0.0], (math.inf, 1.0)), toy(2), MOMENT)


def test_maps_are_of_the_network_and_of_the_svms():
    dataset = toy(3)
    net = midway(dataset)
    arrays = probe().measure(net, dataset, MOMENT).arrays["svm"]
    x, y = np.meshgrid(arrays["input_axis"], arrays["input_axis"])
    points = torch.tensor(np.stack([x, y], -1), dtype=torch.float32).reshape(-1, 1, 1, 2)
    assert (arrays["input_nn"].ravel() == net(points).argmax(1).numpy()).mean() > 0.995
    # features are pixels here: both maps of S3 show this network's own regions
    assert (arrays["feature_S3"] == arrays["feature_nn"]).mean() > 0.99
    assert arrays["pair_angles"].shape == (3, 3)
    assert arrays["margins_s1"].min() == pytest.approx(float(table_margin(dataset)))


def table_margin(dataset):
    features = dataset.train.pixels().flatten(1)
    return hard_margin_svm(features, dataset.train.labels).margin


def test_it_measures_the_same_again():
    dataset = toy(3)
    first, again = (probe().measure(off_the_limit(dataset), dataset, MOMENT) for _ in range(2))
    assert set(first.tables) >= {"svm_convergence", "svm_bias", "svm_timings"}
    for name, rows in first.tables.items():
        # of all columns of all tables these seconds alone may differ
        columns = [column for column in rows if column != "svm_seconds"]
        assert (len(columns) < len(rows.columns)) == (name == "svm_timings")
        assert rows[columns].equals(again.tables[name][columns])
