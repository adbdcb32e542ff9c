"""What every estimator owes: re-evaluated success, batches that do not matter, marked failures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from bdry.core.measuring import measuring
from bdry.core.norms import norm as norm_of
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier

# those that take any network and aim at more than a bound
GENERAL = ("deepfool", "walk")


def network(seed: int = 0, num_classes: int = 5, name: str = "mlp", **options) -> nn.Module:
    options = {"widths": [32, 16], "activation": "relu"} | options
    if name != "mlp":
        options.pop("widths")
    model = build_classifier(name, (1, 8, 8), num_classes, mean=[0.5], std=[0.25], seed=seed, options=options)
    return model.eval().requires_grad_(False)


def images(n: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("name", ["mlp", "plaincnn"])
def test_every_success_is_true(estimator, norm, clipped, name):
    model, x = network(name=name), images()
    result = ESTIMATORS[estimator](model, x, norm=norm, clipped=clipped)
    ok = result.success
    assert bool(ok.any())
    # a millionth of the margin is below rounding in float32; a thousandth is not
    just_beyond = x[ok] + 1.001 * (result.point[ok] - x[ok])
    assert torch.equal(model(just_beyond).argmax(1), result.boundary_class[ok])
    assert bool((result.boundary_class != result.start_class)[ok].all())
    just_before = x[ok] + 0.999 * (result.point[ok] - x[ok])
    assert torch.equal(model(just_before).argmax(1), result.start_class[ok])
    torch.testing.assert_close(norm_of(result.point[ok] - x[ok], norm), result.margin[ok], rtol=1e-4, atol=1e-6)
    assert bool((result.margin[ok] <= result.overshot[ok]).all())
    if clipped:
        assert float(result.point[ok].min()) >= 0
        assert float(result.point[ok].max()) <= 1


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_batched_equals_one_by_one(estimator, norm):
    """Each margin in float64, where rounding turns no decision of a walk; in float32 all but single ones."""
    model, x = network(name="plaincnn"), images(10)
    together = ESTIMATORS[estimator](model, x, norm=norm).margin
    alone = torch.cat([ESTIMATORS[estimator](model, one[None], norm=norm).margin for one in x])
    assert float((together / alone - 1).abs().nan_to_num(0.0).median()) < 1e-4
    assert torch.equal(together.isnan(), alone.isnan())
    model, x = model.double(), x.double()
    together = ESTIMATORS[estimator](model, x, norm=norm).margin
    alone = torch.cat([ESTIMATORS[estimator](model, one[None], norm=norm).margin for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0, equal_nan=True)


class NoEmptyBatch(nn.Module):
    """As transformers do, it fails on a batch of no image."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        assert len(x), "an empty batch"
        return self.net(x)


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("clipped", [False, True])
def test_no_estimator_gives_a_network_an_empty_batch(estimator, clipped):
    model = NoEmptyBatch(network())
    for x in (images(3), torch.cat([images(1)] * 2), torch.full((1, 1, 8, 8), torch.nan)):
        for norm in ("l2", "linf"):
            ESTIMATORS[estimator](model, x, norm=norm, clipped=clipped)


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_box_constrained_margins_are_not_smaller(estimator, norm):
    model, x = network(), images(64)
    free = ESTIMATORS[estimator](model, x, norm=norm)
    boxed = ESTIMATORS[estimator](model, x, norm=norm, clipped=True)
    both = free.success & boxed.success
    assert float(boxed.margin[both].mean()) >= 0.98 * float(free.margin[both].mean())


class Constant(nn.Module):
    """The same logits everywhere, still a function of x for autograd."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return 0 * x.flatten(1).sum(1, keepdim=True) + self.logits


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("logits", [[2.0, 1.0, 0.0], [1.0, 1.0, 1.0], [float("nan"), 0.0, 1.0]])
def test_failures_are_marked_and_never_zero(estimator, logits):
    result = ESTIMATORS[estimator](Constant(logits), images(6), norm="l2")
    assert not bool(result.success.any())
    assert bool(result.margin.isnan().all())
    assert bool((result.boundary_class == -1).all())


@pytest.mark.parametrize("estimator", GENERAL)
def test_an_image_that_is_not_a_number_fails_alone(estimator):
    model, x = network(), images(4)
    x[2] = torch.nan
    result = ESTIMATORS[estimator](model, x, norm="linf")
    assert result.success.tolist() == [True, True, False, True]


def test_too_few_steps_are_failures():
    result = ESTIMATORS["deepfool"](network(), images(64), norm="l2", steps=1, overshoot=0.0)
    assert int((~result.success).sum()) > 0
    assert bool(result.margin[~result.success].isnan().all())


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_targeted_margins_reach_their_class_and_are_not_smaller(estimator, norm):
    model, x = network(), images(48)
    free = ESTIMATORS[estimator](model, x, norm=norm)
    target = (free.start_class + 1) % 5
    aimed = ESTIMATORS[estimator](model, x, norm=norm, towards=target)
    ok = aimed.success
    assert float(ok.float().mean()) > 0.9
    assert torch.equal(aimed.boundary_class[ok], target[ok])
    assert float(aimed.margin[ok].mean()) >= float(free.margin[ok].mean())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clipped", [False, True])
def test_the_walk_is_tighter_than_deepfool_and_more_steps_are_tighter(norm, clipped):
    model, x = network(), images(64)
    means = [
        float(ESTIMATORS[name](model, x, norm=norm, clipped=clipped, **dial).margin.mean())
        for name, dial in (("deepfool", {}), ("walk", {"steps": 8}), ("walk", {"steps": 40}))
    ]
    assert means == sorted(means, reverse=True)
    assert means[2] < 0.98 * means[0]


def test_five_candidates_give_the_margins_of_all_classes():
    model, x = network(num_classes=10), images(128)
    some, every = (ESTIMATORS["deepfool"](model, x, norm="l2", candidates=c) for c in (5, None))
    assert float((some.margin / every.margin).mean()) < 1.01
    assert int(some.backwards.sum()) < int(every.backwards.sum()) / 2


@pytest.mark.parametrize("estimator", GENERAL)
@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.1, 100), seed=st.integers(0, 1000))
@example(scale=1.0, seed=886)  # DeepFool finds no boundary for one of the images
def test_margins_do_not_depend_on_the_logits_scale(estimator, scale, seed):
    model, x = network(seed), images(6, seed)
    plain = ESTIMATORS[estimator](model, x, norm="l2")
    scaled = ESTIMATORS[estimator](lambda z: scale * model(z), x, norm="l2")
    # a walk takes decisions on the way that rounding can turn: single images may differ, the mean hardly
    # an image that is not found in one is hardly ever found in the other; nanmedian leaves it out
    medians = (plain.margin.nanmedian(), scaled.margin.nanmedian())
    torch.testing.assert_close(*medians, rtol=1e-2, atol=1e-6, equal_nan=True)
    if estimator == "deepfool":
        torch.testing.assert_close(plain.margin, scaled.margin, rtol=1e-3, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("estimator", GENERAL)
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(5)), seed=st.integers(0, 1000))
def test_margins_do_not_depend_on_the_order_of_the_classes(estimator, order, seed):
    model, x = network(seed), images(6, seed)
    plain = ESTIMATORS[estimator](model, x, norm="linf")
    permuted = ESTIMATORS[estimator](lambda z: model(z)[:, order], x, norm="linf")
    same = (plain.margin / permuted.margin - 1).abs() < 1e-2
    assert float((same | plain.margin.isnan()).float().mean()) > 0.8


@pytest.mark.parametrize("estimator", GENERAL)
@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.2, 5.0), seed=st.integers(0, 1000))
def test_margins_scale_with_the_input(estimator, scale, seed):
    model, x = network(seed), images(6, seed) / 5
    plain = ESTIMATORS[estimator](model, x, norm="l2")
    scaled = ESTIMATORS[estimator](lambda z: model(z / scale), scale * x, norm="l2")
    same = (scaled.margin / (scale * plain.margin) - 1).abs() < 1e-2
    assert float((same | plain.margin.isnan()).float().mean()) > 0.8


def test_measuring_restores_modes_and_flags():
    model = build_classifier("resnet18", (1, 8, 8), 3, mean=[0.5], std=[0.25], seed=0, options={"activation": "relu"})
    model.train()
    model.body[1].eval()
    model.head.bias.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    with measuring(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["head.bias"]


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_no_images_are_an_empty_result_and_nothing_is_computed(estimator):
    result = ESTIMATORS[estimator](nn.Identity(), torch.empty(0, 1, 8, 8))
    assert result.point.shape == (0, 1, 8, 8)
    assert {len(values) for values in vars(result).values()} == {0}
    assert result.success.dtype == torch.bool


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_images_may_have_a_gradient_and_any_layout(estimator):
    if ESTIMATORS.abilities(estimator).num_pixels not in (None, 2):
        pytest.skip("takes no images of two pixels")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, wide = nn.Sequential(nn.Flatten(), nn.Linear(2, 3)), torch.rand(3, 1, 1, 4)
    plain = ESTIMATORS[estimator](model, wide[..., ::2].contiguous())
    for x in (wide[..., ::2], wide[..., ::2].clone().requires_grad_(True)):
        found = ESTIMATORS[estimator](model, x)
        torch.testing.assert_close(found.margin, plain.margin, equal_nan=True)
        torch.testing.assert_close(found.lower, plain.lower, equal_nan=True)


@pytest.mark.parametrize(
    ("x", "classes", "line"),
    [
        (images(2).numpy(), None, "x is a ndarray: images must be a torch.Tensor"),
        (None, None, "x is a NoneType: images must be"),
        (images(2)[:, :, :0], None, r"x has shape \(2, 1, 0, 8\): must be \(N, C, H, W\)"),
        (images(2) * 0 + 1.0000001, None, "x holds the value 1.00000012: images must lie in"),
        (images(2), [0, 0], "start_class is a list: must be a torch.Tensor of int64"),
    ],
)
def test_the_door_says_what_is_wrong_with_images_and_classes(x, classes, line):
    with pytest.raises(ValueError, match=line):
        ESTIMATORS["deepfool"](network(), x, classes)
