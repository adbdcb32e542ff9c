"""EDC against scikit-learn's own answers and planes known by construction; spread, divergence."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.svm import LinearSVC
from torch import nn

from bdry.core.seeds import generator
from bdry.deepdig import Features, bisect, boundary_divergence, own_plane, separability, spread, svm_plane


def clouds(n=80, seed=0, shift=2.0):
    draw = torch.Generator().manual_seed(seed)
    is_target = torch.arange(n) % 2 == 1
    values = torch.randn(n, 5, generator=draw)
    values[:, 0] += torch.where(is_target, shift, -shift)
    return Features(values, is_target)


def head(seed=0):
    layer = nn.Linear(5, 3)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 5, generator=draw))
        layer.bias.copy_(torch.randn(3, generator=draw))
    return layer


@pytest.fixture
def layer():
    with torch.random.fork_rng(devices=[]):
        return head()


def test_numbers_are_those_of_scikit_learn(layer):
    train, test = clouds(shift=1.0), clouds(60, seed=1, shift=1.0)
    rows = separability({"train": train, "test": test}, layer, (0, 2))
    svm = LinearSVC(dual=False).fit(train.values.double().numpy(), train.is_target.numpy())
    row = next(row for row in rows if (row["plane"], row["split"]) == ("svm", "test"))
    length = math.sqrt((svm.coef_**2).sum())
    d = svm.decision_function(test.values.double().numpy()) / length
    wrong = (d > 0) != test.is_target.numpy()
    assert wrong.any()
    assert row["acc"] == pytest.approx(svm.score(test.values.double().numpy(), test.is_target.numpy()))
    assert row["err"] == pytest.approx(1 - row["acc"])
    assert row["D_all"] == pytest.approx(abs(d).mean(), rel=1e-3)
    assert row["N_err"] == pytest.approx(abs(d[wrong]).mean() / (1 + abs(d[wrong]).mean()), rel=1e-3)
    assert row["d_mean"] == pytest.approx(d.mean(), rel=1e-3, abs=1e-4)


def test_the_own_plane_is_where_two_logits_agree(layer):
    plane = own_plane(layer, (0, 2))
    e = torch.randn(50, 5, generator=torch.Generator().manual_seed(2))
    logits = layer(e).detach()
    gap = (logits[:, 2] - logits[:, 0]) / (layer.weight[2] - layer.weight[0]).norm().detach()
    torch.testing.assert_close(torch.tensor(plane.distance(e.double().numpy())).float(), gap)


def test_borderline_features_lie_on_the_own_plane(stripes):
    net, x, labels = stripes
    found = bisect(net, x[labels == 0], x[labels == 1], (0, 1))
    point = found.point[found.success]
    both = (labels == 0) | (labels == 1)
    train = Features(net.features(x[both]), labels[both] == 1)
    borderline = Features(net.features(point), torch.zeros(len(point), dtype=torch.bool))
    rows = separability({"train": train, "borderline": borderline}, net.head, (0, 1))
    mean = {row["split"]: row["D_all"] for row in rows if row["plane"] == "own"}
    assert len(point) > 20
    assert mean["borderline"] < 1e-3 * mean["train"]
    assert all(row["cos_to_own_plane"] == pytest.approx(1) for row in rows if row["plane"] == "own")
    assert all(row["cos_to_own_plane"] > 0.3 for row in rows if row["plane"] == "svm")


def test_empty_splits_and_a_single_class_are_rows_of_nan(layer):
    train = clouds()
    none = Features(train.values[:0], train.is_target[:0])
    rows = separability({"train": train, "borderline": none}, layer, (0, 1))
    assert [row["n"] for row in rows] == [80, 0, 80, 0]
    assert math.isnan(rows[1]["acc"])
    alone = Features(train.values[::2], train.is_target[::2])
    assert svm_plane(alone) is None
    rows = separability({"train": alone}, layer, (0, 1))
    assert math.isnan(rows[0]["acc"])
    assert not math.isnan(rows[1]["acc"])


def test_spread_is_the_mean_distance_of_all_pairs():
    x = torch.rand(30, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert spread(x) == pytest.approx(float(torch.pdist(x.flatten(1)).mean()), rel=1e-5)
    assert spread(x[:1].expand(20, -1, -1, -1)) == 0
    assert math.isnan(spread(x[:1]))
    tiny = 0.5 + 1e-5 * x
    assert spread(tiny) == pytest.approx(1e-5 * spread(x), rel=0.02)
    many = torch.rand(3000, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert spread(many) == pytest.approx(float(torch.pdist(many.flatten(1)).mean()), rel=0.01)


def test_boundary_divergence_of_a_line_is_0_and_its_reference_is_not():
    line = torch.linspace(0, 1, 50)[:, None] * torch.ones(1, 20)
    divergence, reference = boundary_divergence(line, generator(0, "divergence"))
    assert divergence == pytest.approx(0, abs=1e-6)
    assert reference > 0.7
    noise = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    divergence, reference = boundary_divergence(noise, generator(0, "divergence"))
    assert divergence == pytest.approx(reference, abs=0.03)
    assert math.isnan(boundary_divergence(noise[:3], generator(0, "divergence"))[0])
