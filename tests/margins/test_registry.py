"""The contract of everything that is registered as an estimator; what one cannot take it has declared."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

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
