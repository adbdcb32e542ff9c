"""The contract of everything that is registered as an estimator; what one cannot take it has declared."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch
from torch import nn

from bdry.core.seeds import seeded_globally
from bdry.margins import ESTIMATORS, Abilities, checks, deepfool
from bdry.margins.result import Estimators

every = pytest.mark.parametrize("name", list(ESTIMATORS))
CASES = [(name, norm) for name in ESTIMATORS for norm in ESTIMATORS.abilities(name).norms]
each = pytest.mark.parametrize(("name", "norm"), CASES)


def pixels(name: str) -> int:
    return ESTIMATORS.abilities(name).num_pixels or 4


def measured(name: str, model: nn.Module, x: torch.Tensor, norm: str = "l2", **settings):
    """The result, held to the contract: points have another label alone and in batch, margins are their distances."""
    result, abilities = ESTIMATORS[name](model, x, norm=norm, **settings), ESTIMATORS.abilities(name)
    if not abilities.finds_points:
        assert not bool(result.success.any())
        assert bool(result.margin.isnan().all())
    found = result.success
    if bool(found.any()):
        together = model(result.point[found].clone()).argmax(1)
        alone = torch.cat([model(point[None].clone()).argmax(1) for point in result.point[found]])
        assert bool((together != result.start_class[found]).all())
        assert bool((alone != result.start_class[found]).all())
        step = (result.point - x)[found].flatten(1)
        length = step.norm(dim=1) if norm == "l2" else step.abs().amax(1)
        torch.testing.assert_close(result.margin[found], length, rtol=1e-5, atol=0)
    assert abilities.certifies == bool(result.lower.isfinite().any())
    return result


@each
@pytest.mark.parametrize(("distance", "scale", "shift"), checks.CASES)
def test_on_affine_classifiers_margins_and_bounds_are_the_closed_form(name, norm, distance, scale, shift):
    abilities = ESTIMATORS.abilities(name)
    error = checks.error_on_affine(ESTIMATORS[name], abilities, norm, distance, scale, shift)
    assert error <= checks.tolerance(abilities, distance)


@each
def test_labels_differ_alone_and_in_batch_among_many_classes(name, norm):
    model = checks.Affine(pixels(name), 1000)
    measured(name, model, model.images(3, norm, 1e-3), norm)


@each
def test_an_image_on_the_boundary_has_its_tiny_margin(name, norm):
    model = checks.Affine(pixels(name), 2)
    x = model.images(4, norm, 1e-6)
    result = measured(name, model, x, norm)
    if ESTIMATORS.abilities(name).finds_points:
        assert bool(result.success.all())
        assert float(result.margin.max()) < 1e-5


class Rows(nn.Module):
    """A linear classifier of the given rows."""

    def __init__(self, rows: list[list[float]], bias: list[float], in_place: bool = False) -> None:
        super().__init__()
        self.head, self.in_place = nn.Linear(len(rows[0]), len(rows), device="meta").to_empty(device="cpu"), in_place
        self.head.weight.data, self.head.bias.data = torch.tensor(rows), torch.tensor(bias)
        self.requires_grad_(False)

    def forward(self, x):
        x = x.sub_(0.5) if self.in_place else x - 0.5
        return self.head(x.flatten(1))


@every
def test_twins_are_one_class(name):
    own = [2.0] + [0.0] * (pixels(name) - 1)
    other = [-value for value in own]
    model, x = (
        Rows([own, other, other], [0.0, 0.0, 0.0]),
        torch.rand(5, 1, 1, pixels(name), generator=torch.Generator().manual_seed(0)),
    )
    result, abilities = measured(name, model, x), ESTIMATORS.abilities(name)
    exact = (x[:, 0, 0, 0] - 0.5).abs()
    if abilities.finds_points:
        torch.testing.assert_close(result.margin, exact, rtol=1e-2, atol=1e-5)
    if abilities.certifies:
        assert bool((result.lower <= exact * (1 + 1e-4) + 1e-6).all())


@every
def test_modules_may_write_into_their_input(name):
    rows = [[1.0] * pixels(name), [-1.0] + [0.5] * (pixels(name) - 1)]
    x = torch.rand(3, 1, 1, pixels(name), generator=torch.Generator().manual_seed(1))
    before = x.clone()
    plain, writing = (Rows(rows, [0.1, 0.0], in_place) for in_place in (False, True))
    expected = ESTIMATORS[name](plain, x)
    if ESTIMATORS.abilities(name).model == "piecewise linear":
        # their forward is followed, not called: a step that writes is named
        with pytest.raises(ValueError, match="no bounds for sub_"):
            ESTIMATORS[name](writing, x)
    else:
        torch.testing.assert_close(ESTIMATORS[name](writing, x).margin, expected.margin, equal_nan=True)
    assert torch.equal(x, before)


@every
def test_masked_classes_are_none(name):
    class Masked(Rows):
        def forward(self, x):
            return super().forward(x).masked_fill(torch.tensor([False, False, True]), -torch.inf)

    rows = [[2.0] * pixels(name), [-2.0] * pixels(name), [0.0] * pixels(name)]
    model, abilities = Masked(rows, [0.0, 0.0, 0.0]), ESTIMATORS.abilities(name)
    x = torch.rand(4, 1, 1, pixels(name), generator=torch.Generator().manual_seed(2))
    if abilities.model == "piecewise linear":
        with pytest.raises(ValueError, match="no bounds for masked_fill"):
            ESTIMATORS[name](model, x)
        return
    result = measured(name, model, x)
    torch.testing.assert_close(
        result.margin, (x.flatten(1) - 0.5).sum(1).abs() / pixels(name) ** 0.5, rtol=1e-2, atol=1e-5
    )
    assert set(result.boundary_class.tolist()) <= {0, 1}


def test_a_plug_in_stands_behind_the_same_door_and_a_wrong_one_is_found():
    registry = Estimators("margin")

    @registry.register("half", abilities=Abilities(norms=("l2",)))
    def half(*args, **settings):
        result = deepfool(*args, **settings)
        return dataclasses.replace(result, margin=result.margin / 2)

    assert registry.abilities("half").norms == ("l2",)
    assert checks.error_on_affine(registry["half"], registry.abilities("half"), "l2", None, 1.0) == pytest.approx(
        0.5, abs=1e-3
    )
    with pytest.raises(ValueError, match="x holds the value 255"):
        registry["half"](checks.Affine(4, 3), torch.full((2, 1, 1, 4), 255.0))


class TiedHere(nn.Module):
    """Classes that are one function near some images and two elsewhere, of two pixels."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        a, b = x.flatten(1).unbind(1)
        if self.kind == "dead units":
            return torch.stack([(a - 0.5).relu(), (b - 0.5).relu(), 0.3 * b - 0.27], 1)
        return torch.stack([a, a + (b - 0.5).relu(), 1 - a], 1)


@pytest.mark.parametrize(("kind", "image"), [("dead units", [0.2, 0.2]), ("one slope", [0.9, 0.2])])
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if ESTIMATORS.abilities(name).model == "any"])
def test_classes_that_are_tied_at_the_image_alone_are_two(name, kind, image):
    model, x = TiedHere(kind), torch.tensor(image).reshape(1, 1, 1, 2)
    result = measured(name, model, x)
    assert bool(result.success)
    # both turn to class 1 where b > 0.5; a search by gradients may meet the next boundary only, at a = 0.5
    looks_around = kind == "dead units" or name in ("walk", "lattice")
    assert 0.3 - 1e-6 <= float(result.margin) <= (0.301 if looks_around else 0.4001)
    assert torch.equal(result.boundary_class, model(result.point).argmax(1))


def test_a_network_in_training_mode_is_left_as_it_was_where_classes_are_given():
    with seeded_globally(0):
        model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    x = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    own = model.eval()(x).argmax(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    plain, given = deepfool(model, x), deepfool(model, x, own, towards=(own + 1) % 3)
    assert torch.equal(deepfool(model, x, own).margin, plain.margin)
    assert model.training and bool((given.margin >= plain.margin * (1 - 1e-6)).all())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if ESTIMATORS.abilities(name).num_pixels is None])
def test_gradients_may_be_off_around_an_estimator(name):
    model = Rows([[1.0, 0.5, 0.0, 0.0], [-1.0, 0.5, 0.2, 0.0]], [0.1, 0.0])
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    expected = ESTIMATORS[name](model, x)
    with torch.no_grad():
        without = ESTIMATORS[name](model, x)
    with torch.inference_mode():
        inside, made_there = ESTIMATORS[name](model, x), x.clone()
    for found in (without, inside, ESTIMATORS[name](model, made_there)):
        assert torch.equal(found.margin.nan_to_num(), expected.margin.nan_to_num())
        assert torch.equal(found.lower.nan_to_num(), expected.lower.nan_to_num())


@every
def test_the_norm_is_l2_where_none_is_given(name):
    assert inspect.signature(ESTIMATORS[name]).parameters["norm"].default == "l2"
