"""Logits in float64: the model's own steps without their rounding, and a model that is left as it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bdry.attacks import pgd
from bdry.core.measuring import logits_in_float64, measuring
from bdry.core.seeds import seeded_globally
from bdry.deepdig.evaluation import features_of
from bdry.geometry import boundary
from bdry.geometry.regions.paths import labels_at
from bdry.margins import certified, walk
from bdry.models import build_classifier

X = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["plaincnn", "resnet18"])
def test_a_network_is_its_double(name):
    model = build_classifier(name, (1, 8, 8), 3, mean=[0.5], std=[0.25], seed=0, options={"activation": "relu"})
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = logits_in_float64(model, X)
    assert found.dtype == torch.float64
    assert model.state_dict().keys() == before.keys()
    assert all(
        value.dtype == before[key].dtype and torch.equal(value, before[key])
        for key, value in model.state_dict().items()
    )
    torch.testing.assert_close(found, model.double()(X.double()), rtol=1e-12, atol=1e-12)


def test_constants_dtypes_and_casts_follow():
    w = torch.linspace(0, 1, 64)

    def model(z):
        out = torch.zeros(len(z), 2, dtype=torch.float32)
        out[:, 0] = z.float().flatten(1).to(torch.float32) @ w
        return out + torch.ones(2)

    found = logits_in_float64(model, X)
    assert torch.equal(found[:, 0], X.double().flatten(1) @ w.double() + 1)


class Keeps(nn.Module):
    """It holds on to what it has seen, and counts in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.last = torch.zeros(1)

    def forward(self, x):
        self.seen = self.seen + 1
        self.last = x.mean()
        return x.flatten(1)[:, :2] + self.seen


def test_what_a_module_holds_is_as_it_was():
    model = Keeps()
    seen, last = model.seen, model.last
    assert logits_in_float64(model, X).dtype == torch.float64
    assert model.seen is seen
    assert model.last is last


def test_where_there_are_none():
    def only_float32(z):
        if z.dtype != torch.float32:
            raise KeyError(z.dtype)
        return z.flatten(1)

    assert logits_in_float64(only_float32, X) is None
    assert logits_in_float64(lambda z: z.flatten(1), X.double()) is None
    assert logits_in_float64(lambda z: z.flatten(1) * torch.nan, X) is None


class InPlace(nn.Module):
    """Normalises what it is given in place, as old code does; its logits are float64."""

    def __init__(self, net, in_place):
        super().__init__()
        self.net, self.in_place = net, in_place

    def forward(self, x):
        if self.in_place:
            x.data.sub_(0.5)
        return self.net(x if self.in_place else x - 0.5).double()


LIBRARY = {
    "nearest_refined": lambda model: boundary.nearest_refined(model, X, torch.Generator().manual_seed(1)).point,
    "random_dir": lambda model: boundary.random_dir(model, X, torch.Generator().manual_seed(1)).point,
    "nat_segment": lambda model: boundary.nat_segment(model, X, torch.Generator().manual_seed(1)).point,
    "label_sections": lambda model: (
        boundary.label_sections(
            model,
            X,
            *(torch.randn(X.shape, generator=torch.Generator().manual_seed(n)) for n in (1, 2)),
            extent=2.0,
            resolution=7,
        ).labels
    ),
    "labels_at": lambda model: labels_at(model, X, 2),
    "pgd": lambda model: (
        pgd(
            *(model, X, torch.zeros(5, dtype=torch.int64)),
            norm="linf",
            eps=0.1,
            step_size=0.02,
            steps=3,
            generator=torch.Generator().manual_seed(1),
        ).images
    ),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_the_library_take_a_module_that_changes_its_input(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Softplus(), nn.Linear(16, 5))
    before = X.clone()
    found = []
    for in_place in (True, False):
        model = InPlace(net, in_place)
        with measuring(model):
            found.append(LIBRARY[name](model))
    assert torch.equal(X, before)
    assert torch.equal(found[0].nan_to_num(-1.0), found[1].nan_to_num(-1.0))


class Casting(nn.Module):
    """Weights in float64, which the input is cast to; fails."""

    def __init__(self, cause):
        super().__init__()
        self.cause, self.weight = cause, nn.Parameter(torch.zeros(64, 2, dtype=torch.float64))

    def forward(self, z):
        raise RuntimeError(self.cause)


def test_images_of_another_dtype_than_the_weights_are_named():
    with seeded_globally(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).double()
    for look in (lambda: walk(model, X), lambda: labels_at(model, X, 5)):
        with pytest.raises(ValueError, match=r"x is torch.float32, the model's weights are torch.float64: give x.to\("):
            look()
    # images of 16 bits are taken nowhere
    with pytest.raises(ValueError, match=r"the model's weights are torch.float16: give model.float\(\)"):
        certified(model.half(), X)
    # a failure of another kind is the model's own, in a module that casts its input too
    for cause in ("shapes", "out of memory, whatever the type"):
        with pytest.raises(RuntimeError, match=cause):
            walk(Casting(cause), X)


def test_what_a_module_keeps_in_its_containers_is_as_it_was():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales, self.seen = {}, [1]

        def forward(self, x):
            self.scales.setdefault(len(x), torch.ones(len(x), 1))
            self.seen.append(x)
            self.last = x
            return x.flatten(1)[:, :3] * self.scales[len(x)]

    model = Remembers()
    assert logits_in_float64(model, X).dtype == torch.float64
    assert (model.scales, model.seen, hasattr(model, "last")) == ({}, [1], False)
    assert model(X).dtype == torch.float32


def test_features_are_those_of_a_copy_of_the_images():
    classifier = SimpleNamespace(head=SimpleNamespace(in_features=64), features=lambda x: x.sub_(0.5).flatten(1))
    before = X.clone()
    assert torch.equal(features_of(classifier, X), (before - 0.5).flatten(1))
    assert torch.equal(X, before)
