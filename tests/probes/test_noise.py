"""The probe `noise`: accuracies of affine classifiers in closed form, the same noise every time, a table that fits."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.data import Dataset, Split
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.noise.probe import KINDS
from bdry.studies.noise.settings import NoiseSettings
from bdry.studies.probes import PROBES, Context

GREY = 128 / 255
SHAPE = (1, 4, 4)


def probe(data_seed=0, **settings):
    context = Context(functools.partial(ESTIMATORS["deepfool"], steps=50), "deepfool", data_seed)
    base = {"num_train": 0, "num_test": 24, "sizes": [0.1, 0.3], "num_draws": 2, "batch_size": 10}
    return PROBES["noise"](context, NoiseSettings(**(base | settings)))


def grey_images(n):
    """A data set of `n` equal test images of class 0, in the middle of the box."""
    images, labels = torch.full((n, *SHAPE), 128, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64)
    split = Split(images, labels, torch.arange(n))
    return Dataset("grey", split[:0], split, ("a", "b"))


def half_space(weight, distance):
    """Class 0 up to an l2 distance of `distance` from the grey image in the direction of `weight`."""
    layer = nn.Linear(16, 2, device="meta").to_empty(device="cpu")
    weight = weight / weight.norm()
    layer.weight.data = torch.stack([-weight, torch.zeros(16)])
    layer.bias.data = torch.tensor([float(GREY * weight.sum()) + distance, 0.0])
    return nn.Sequential(nn.Flatten(), layer)


def accuracies(model, n, **settings):
    rows = probe(num_test=n, **settings).measure(model, grey_images(n), Moment(0, 0.0)).tables["noise"]
    return rows.set_index(["noise", "size"])["accuracy"]


def within_binomial_error(share, exact, n):
    return abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / n)


@pytest.mark.parametrize("distance", [0.02, 0.06, 0.1])
def test_gaussian_noise_crosses_a_hyperplane_as_often_as_the_normal_distribution_says(distance):
    weight = torch.randn(16, generator=torch.Generator().manual_seed(0))
    found = accuracies(half_space(weight, distance), 2000, sizes=[0.05, 0.08])
    for size in (0.05, 0.08):
        exact = NormalDist().cdf(distance / size)
        assert within_binomial_error(found["gaussian", size], exact, 2000 * 2)


@pytest.mark.parametrize("distance", [0.02, 0.06, 0.1])
def test_uniform_noise_on_the_one_pixel_that_counts(distance):
    found = accuracies(half_space(torch.eye(16)[5], distance), 2000, sizes=[0.05, 0.08])
    for size in (0.05, 0.08):
        half_width = math.sqrt(3) * size
        exact = min((distance + half_width) / (2 * half_width), 1.0)
        if exact == 1.0:
            assert found["uniform", size] == 1.0
        else:
            assert within_binomial_error(found["uniform", size], exact, 2000 * 2)


def test_noisy_images_are_clipped_to_the_box():
    """Beyond the box only: without clipping half of the images would be lost to noise of this size."""
    found = accuracies(half_space(torch.eye(16)[0], 1 - GREY + 0.01), 200, sizes=[50.0])
    assert found["gaussian", 50.0] == found["uniform", 50.0] == 1.0


@pytest.mark.parametrize("kind", list(KINDS))
def test_noise_has_mean_0_and_standard_deviation_1(kind):
    noise = KINDS[kind](torch.Size([200_000]), torch.Generator().manual_seed(0)).double()
    assert abs(float(noise.mean())) < 4 / math.sqrt(len(noise))
    assert float(noise.std()) == pytest.approx(1.0, rel=0.01)
    # fourth moments tell the kinds apart: 3 and 9 / 5
    assert float((noise**4).mean()) == pytest.approx({"gaussian": 3.0, "uniform": 1.8}[kind], rel=0.03)


@pytest.fixture
def classifier(tiny_dataset):
    options = {"widths": [16], "activation": "relu"}
    return build_classifier("mlp", SHAPE, 3, mean=[0.5], std=[0.3], seed=0, options=options)


def test_the_table_is_the_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    tables = probe(num_train=12).measure(classifier, tiny_dataset, Moment(3, 1.5)).tables
    assert set(tables) == {"noise"}
    rows = tables["noise"]
    assert set(rows.columns) == set(TABLES["noise"].column_names)
    TableWriter(tmp_path / "noise", TABLES["noise"]).append(rows)
    assert len(read_table(tmp_path / "noise", TABLES["noise"])) == 2 * 2 * 2
    assert set(zip(rows["split"], rows["num_images"], strict=True)) == {("train", 12), ("test", 24)}
    assert set(rows["step"]) == {3}
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, classifier.parameters(), strict=True))


def test_size_0_is_clean_accuracy(tiny_dataset, classifier):
    rows = probe(sizes=[0.0]).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables["noise"]
    split = tiny_dataset.test
    clean = float((classifier(split.pixels()).argmax(1) == split.labels).double().mean())
    assert rows["accuracy"].tolist() == [clean, clean]


def noisy_images(tiny_dataset, **settings):
    """What the classifier sees: every kind, size, batch and draw, one after the other."""
    seen = []

    class Recorder(nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.zeros(len(x), 3)

    probe(**settings).measure(Recorder(), tiny_dataset, Moment(0, 0.0))
    return torch.cat(seen)


def test_the_same_noise_every_time_and_another_for_each_size_draw_and_image(tiny_dataset):
    first = noisy_images(tiny_dataset, sizes=[0.1, 0.1], batch_size=24)
    assert torch.equal(first, noisy_images(tiny_dataset, sizes=[0.1, 0.1], batch_size=24))
    # kinds, sizes, draws, images
    draws = first.reshape(8, 24, *SHAPE) - tiny_dataset.test.pixels()
    assert len({draw.numpy().tobytes() for draw in draws.flatten(0, 1)}) == 8 * 24
    assert not torch.equal(first, noisy_images(tiny_dataset, sizes=[0.1, 0.1], batch_size=24, data_seed=1))


def test_an_images_noise_does_not_depend_on_the_others(tiny_dataset):
    every = noisy_images(tiny_dataset, sizes=[0.1], num_draws=1, batch_size=24).reshape(2, 24, *SHAPE)
    assert torch.equal(noisy_images(tiny_dataset, sizes=[0.1], num_draws=1, batch_size=5).reshape(every.shape), every)
    few = noisy_images(tiny_dataset, sizes=[0.1], num_draws=1, num_test=6).reshape(2, 6, *SHAPE)
    assert torch.equal(few, every[:, tiny_dataset.test.balanced(6, 0).index])


def test_nothing_to_measure_gives_no_table(tiny_dataset, classifier):
    assert probe(num_train=0, num_test=0).measure(classifier, tiny_dataset, Moment(0, 0.0)).tables == {}
