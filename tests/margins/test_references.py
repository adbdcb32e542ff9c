"""The reference estimators (DDN, FMN, FAB, APGD): closed forms, the box, targets, DeepFool's margins, determinism."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.core.norms import dual_norm
from bdry.margins import ESTIMATORS
from bdry.margins.apgd import checkpoints
from bdry.models import build_classifier

CASES = [(name, norm) for name in ("fmn", "fab", "apgd") for norm in ("l2", "linf")] + [("ddn", "l2")]
# how far above the closed form of an affine classifier the mean and the worst margin may lie
MEAN_EXCESS = {"fab": 1e-4, "ddn": 0.01, "fmn": 0.01, "apgd": 0.01}
WORST_EXCESS = {"fab": 1e-3, "ddn": 0.15, "fmn": 0.15, "apgd": 0.15}

each = pytest.mark.parametrize(("estimator", "norm"), CASES)


def affine(num_features: int, num_classes: int, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(num_features, num_classes, device="meta").to_empty(device="cpu")
    layer.weight.data = torch.randn(num_classes, num_features, generator=draw)
    layer.bias.data = 0.1 * torch.randn(num_classes, generator=draw)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def closed_form(model: nn.Module, x: torch.Tensor, norm: str) -> torch.Tensor:
    logits, weight = model(x), model[1].weight
    start = logits.argmax(1)
    top = logits.amax(1)
    distances = [
        torch.where(start == k, torch.inf, (top - logits[:, k]) / dual_norm(weight[start] - weight[k], norm))
        for k in range(len(weight))
    ]
    return torch.stack(distances).amin(0)


def network(seed: int = 0, name: str = "mlp") -> nn.Module:
    options = {"activation": "relu"} | ({"widths": [32, 16]} if name == "mlp" else {})
    model = build_classifier(name, (1, 8, 8), 5, mean=[0.5], std=[0.25], seed=seed, options=options)
    return model.eval().requires_grad_(False)


def images(n: int = 32, seed: int = 0, shape: tuple[int, ...] = (1, 8, 8)) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@each
@pytest.mark.parametrize(("shape", "num_classes"), [((1, 4, 4), 3), ((1, 8, 8), 10), ((1, 1, 2), 2)])
def test_affine_margins_are_near_the_closed_form_and_never_below(estimator, norm, shape, num_classes):
    model = affine(torch.Size(shape).numel(), num_classes, 0)
    x = images(64, 1, shape)
    result = ESTIMATORS[estimator](model, x, norm=norm)
    exact = closed_form(model, x, norm)
    ratio = result.margin / exact
    assert bool(result.success.all())
    # float32: the smallest margins are a few roundings of the pixels
    assert bool((result.margin >= exact * (1 - 1e-5) - 1e-7).all())
    assert float(ratio.mean()) <= 1 + MEAN_EXCESS[estimator]
    assert float(ratio.max()) <= 1 + WORST_EXCESS[estimator]


@each
def test_in_the_box_margins_are_not_below_the_closed_form(estimator, norm):
    model, x = affine(64, 10, 0), images(64, 1).mul(1.6).sub(0.3).clamp(0, 1)
    result = ESTIMATORS[estimator](model, x, norm=norm, clipped=True)
    ok = result.success
    assert float(ok.float().mean()) >= 0.95
    assert bool((result.margin >= closed_form(model, x, norm) * (1 - 1e-5) - 1e-7)[ok].all())
    assert float(result.point[ok].min()) >= 0
    assert float(result.point[ok].max()) <= 1


@each
@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("name", ["mlp", "plaincnn"])
def test_margins_are_not_larger_than_deepfools(estimator, norm, clipped, name):
    model, x = network(name=name), images()
    deepfool = ESTIMATORS["deepfool"](model, x, norm=norm, clipped=clipped, candidates=None)
    result = ESTIMATORS[estimator](model, x, norm=norm, clipped=clipped)
    both = deepfool.success & result.success
    assert float(both.float().mean()) >= 0.9
    assert float(result.margin[both].mean()) <= float(deepfool.margin[both].mean())


@each
@pytest.mark.parametrize("clipped", [False, True])
def test_targets_are_reached(estimator, norm, clipped):
    model, x = affine(64, 5, 3), images(40)
    start = model(x).argmax(1)
    towards = (start + 1 + torch.arange(40) % 4) % 5
    result = ESTIMATORS[estimator](model, x, norm=norm, clipped=clipped, towards=towards)
    plain = ESTIMATORS[estimator](model, x, norm=norm, clipped=clipped)
    ok = result.success
    assert float(ok.float().mean()) >= 0.95
    assert torch.equal(result.boundary_class[ok], towards[ok])
    just_beyond = x[ok] + 1.001 * (result.point[ok] - x[ok])
    assert torch.equal(model(just_beyond).argmax(1), towards[ok])
    both = ok & plain.success
    assert bool((result.margin[both] >= 0.9 * plain.margin[both]).all())


@each
def test_the_same_call_gives_the_same_bits_and_leaves_the_global_generator_alone(estimator, norm):
    model, x = network(), images(16)
    settings = {"restarts": 3, "steps": 10} if estimator == "fab" else {}
    runs = []
    for global_seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            state = torch.random.get_rng_state()
            runs.append(ESTIMATORS[estimator](model, x, norm=norm, **settings))
            assert torch.equal(torch.random.get_rng_state(), state)
    first, again = runs
    assert torch.equal(first.margin, again.margin)
    assert torch.equal(first.forwards, again.forwards)


@each
def test_a_failure_is_its_rows_alone(estimator, norm):
    model, x = network(), images(6)
    x[1], x[4, 0, 3, 3] = torch.nan, torch.inf
    result = ESTIMATORS[estimator](model, x, norm=norm)
    assert result.success.tolist() == [True, False, True, True, False, True]
    assert bool((result.margin > 0)[result.success].all())
    assert bool(result.margin[~result.success].isnan().all())
    alone = ESTIMATORS[estimator](model, x[[0, 2, 3, 5]], norm=norm)
    torch.testing.assert_close(result.margin[result.success], alone.margin, rtol=1e-3, atol=0)


@each
def test_passes_are_counted(estimator, norm):
    model, passed = network(), []
    result = ESTIMATORS[estimator](lambda z: passed.append(len(z)) or model(z), images(12), norm=norm)
    assert int(result.forwards.sum()) == sum(passed)
    assert bool((result.backwards > 0).all())
    assert bool((result.iterations > 0).all())


@pytest.mark.parametrize("seed", [0, 1])
def test_fabs_restarts_never_lengthen_a_margin_nor_depend_on_the_batch(seed):
    model, x = network(), images(12)
    once = ESTIMATORS["fab"](model, x, norm="l2", steps=20)
    thrice = ESTIMATORS["fab"](model, x, norm="l2", steps=20, restarts=3, seed=seed)
    assert bool((thrice.overshot <= once.overshot).all())
    half = ESTIMATORS["fab"](model, x[6:], norm="l2", steps=20, restarts=3, seed=seed)
    torch.testing.assert_close(half.margin, thrice.margin[6:], rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("estimator", "loss", "targeted"),
    [("ddn", "ce", False), ("ddn", "ce", True), ("apgd", "ce", False), ("apgd", "ce", True), ("apgd", "dlr", False)],
)
def test_the_published_losses_reach_the_boundary_too(estimator, loss, targeted):
    model, x = network(), images(16)
    towards = (model(x).argmax(1) + 1) % 5 if targeted else None
    result = ESTIMATORS[estimator](model, x, norm="l2", towards=towards, loss=loss)
    assert float(result.success.float().mean()) >= 0.9


def test_what_is_not_defined_is_refused():
    with pytest.raises(ValueError, match="norm='linf': ddn is defined for l2 only"):
        ESTIMATORS["ddn"](network(), images(2), norm="linf")
    with pytest.raises(ValueError, match="three classes"):
        ESTIMATORS["apgd"](affine(64, 2, 0), images(2), norm="l2", loss="dlr")


def test_apgds_checkpoints_are_the_papers():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
