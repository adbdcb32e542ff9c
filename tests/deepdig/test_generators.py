"""One contract for all generators; partners by brute force; guards; odd inputs."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from bdry.core.measuring import measuring
from bdry.deepdig import (
    GENERATORS,
    OUTCOMES,
    PairImages,
    Recipe,
    Trained,
    common_sources,
    nearest_features,
    summary,
    train_pairs,
)
from bdry.errors import UsageError

TRAINED = ("deepdig", "real_ae1")
NAMES = ("deepdig", "real_ae1", "rpbs", "epbs", "epbs_as_coded", "margin_bisect")


def make(net, x, labels, pair, recipe=None):
    recipe = recipe or Recipe(steps=300, batch_size=32, lr=3e-3, options={"widths": [40, 20]}, min_collapse_ratio=0.0)
    with measuring(net):
        (trained,) = train_pairs(net, x, labels, [pair], recipe, seed=0)
    return PairImages(pair, x[labels == pair[0]], x[labels == pair[1]], trained)


@pytest.fixture(scope="module")
def images(stripes):
    return make(*stripes, (0, 1))


def test_the_registry_has_all():
    assert set(NAMES) == set(GENERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_keeps_the_contract(stripes, images, name):
    net = stripes[0]
    with measuring(net):
        result = GENERATORS[name](net, images, seed=0)
        s, t = images.pair
        n = len(result.source)
        assert (result.method, result.status) == (name, "ok")
        assert 0 < n <= result.num_correct == 60
        assert bool((net(result.on_source).argmax(1) == s).all())
        assert bool((net(result.on_target).argmax(1) == t).all())
        assert sum(result.found.count(outcome) for outcome in OUTCOMES) == n
        p = net(result.points).softmax(1)
        assert bool(((p[:, s] - p[:, t]).abs() < 1e-4 + 1e-6).all())
        assert bool(((p.argmax(1) == s) | (p.argmax(1) == t)).all())
        wanted = (result.found.point - images.source[result.source]).flatten(1).norm(dim=1)
        torch.testing.assert_close(result.distance, wanted)
        again = GENERATORS[name](net, images, seed=0)
        assert torch.equal(again.found.point, result.found.point)
        numbers = summary(result)
        assert numbers["num_success"] + numbers["num_third"] + numbers["num_stalled"] == numbers["num_pairs"] == n
        assert numbers["num_success"] > 0
        assert numbers["coverage"] == pytest.approx(n / 60)
        assert numbers["p_gap_max"] < 1e-4
        assert numbers["forwards"] > numbers["attempts"] * n


def test_passes_are_those_spent(stripes, images):
    """The counts against a net that counts the images it sees."""
    net = stripes[0]
    for name in ("deepdig", "real_ae1", "rpbs", "epbs_as_coded"):
        seen = []
        handle = net.head.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(len(output)))
        with measuring(net):
            result = GENERATORS[name](net, images, seed=0)
        handle.remove()
        assert result.forwards == sum(seen), name


def test_epbs_partner_is_the_nearest_by_brute_force(stripes, images):
    net = stripes[0]
    # shifts apart from each other, or one image of t would be the nearest of all
    shifts = torch.linspace(0, 0.05, 60)[:, None, None, None]
    images = dataclasses.replace(images, source=images.source + shifts, target=images.target + shifts)
    a, b = net.features(images.source), net.features(images.target)
    brute = [min(range(len(b)), key=lambda j, e=e: float((e - b[j]).norm())) for e in a]
    assert nearest_features(net, images.source, images.target).tolist() == brute
    assert nearest_features(net, images.target, images.target).tolist() == list(range(60))
    epbs = GENERATORS["epbs"](net, images, seed=0)
    assert torch.equal(epbs.on_target, images.target[torch.tensor(brute)])
    coded = GENERATORS["epbs_as_coded"](net, images, seed=0)
    assert bool((coded.on_target == images.target[0]).all())


def test_rpbs_pairs_each_image_once(stripes, images):
    net = stripes[0]
    fewer = dataclasses.replace(images, target=images.target[:20])
    result = GENERATORS["rpbs"](net, fewer, seed=0)
    assert len(result.source) == len(set(result.source.tolist())) == 20
    other = GENERATORS["rpbs"](net, fewer, seed=1)
    assert not torch.equal(other.source, result.source)


def test_margin_bisect_is_nearer_than_the_rest(stripes, images):
    net = stripes[0]
    with measuring(net):
        near = GENERATORS["margin_bisect"](net, images, seed=0, estimator="walk", clipped=False)
        others = [GENERATORS[name](net, images, seed=0) for name in ("deepdig", "rpbs")]
    rows = common_sources([near, *others])
    assert len(rows) > 20
    medians = [float(r.distance[torch.isin(r.source, rows) & r.found.success].median()) for r in (near, *others)]
    assert medians[0] < min(medians[1:])
    assert near.backwards > 0


def test_margin_bisect_names_a_wrong_estimator(stripes, images):
    with pytest.raises(UsageError, match="did you mean margin=deepfool"):
        GENERATORS["margin_bisect"](stripes[0], images, seed=0, estimator="deepfol")


@pytest.mark.parametrize("name", TRAINED)
def test_without_autoencoders_it_is_said(stripes, images, name):
    with pytest.raises(ValueError, match=name):
        GENERATORS[name](stripes[0], dataclasses.replace(images, trained=None), seed=0)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_collapsed_pair_has_no_success(stripes, images, stage):
    """Its autoencoder would change the class of every image; none of them counts."""
    net = stripes[0]
    first, second = images.trained.first, images.trained.second
    if stage == 1:
        trained = Trained(images.pair, dataclasses.replace(first, status="collapsed"), None)
    else:
        trained = Trained(images.pair, first, dataclasses.replace(second, status="collapsed"))
    result = GENERATORS["deepdig"](net, dataclasses.replace(images, trained=trained), seed=0)
    assert result.status == f"stage {stage}: collapsed"
    numbers = summary(result)
    assert (numbers["num_pairs"], numbers["num_success"]) == (0, 0)
    assert math.isnan(numbers["success_rate"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["no source", "no target", "none correct", "one image"])
def test_odd_inputs_are_clean_rows(stripes, images, name, case):
    net, x, labels = stripes
    odd = {
        "no source": dataclasses.replace(images, source=images.source[:0]),
        "no target": dataclasses.replace(images, target=images.target[:0]),
        "none correct": dataclasses.replace(images, source=x[labels == 2], target=x[labels == 2]),
        "one image": dataclasses.replace(images, source=images.source[:1], target=images.target[:1]),
    }[case]
    with measuring(net):
        numbers = summary(GENERATORS[name](net, odd, seed=0))
    without_target = name not in ("rpbs", "epbs", "epbs_as_coded")
    most = 1 if case == "one image" else 60 if case == "no target" and without_target else 0
    assert numbers["num_pairs"] <= most
    assert set(numbers) == set(summary(GENERATORS["rpbs"](net, images, seed=0)))


def test_two_classes(make_net):
    net = make_net(num_classes=2)
    x = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with measuring(net), torch.no_grad():
        labels = net(x).argmax(1)
    pair = (int(labels.mode().values), 1 - int(labels.mode().values))
    images = make(net, x, labels, pair)
    for name in NAMES:
        with measuring(net):
            result = GENERATORS[name](net, images, seed=0)
        # there is no third class to fall into
        assert result.found.count("third") == 0
