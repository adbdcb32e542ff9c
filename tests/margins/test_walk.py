"""Walks in two dimensions, where a lattice knows the margins: none fails, and a longer one looks further."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from bdry.margins import lattice, walk

SHAPE = torch.Size((1, 1, 2))
# what is nearer than some cells of the lattice is not judged by it, pixel units
NEAREST = 0.02


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def relu_net(seed: int) -> nn.Module:
    """2-16-16-3, with logits of mean 0 over the box."""
    draw, layers = torch.Generator().manual_seed(seed), [nn.Flatten()]
    for before, after in itertools.pairwise((2, 16, 16, 3)):
        layer = nn.Linear(before, after, device="meta").to_empty(device="cpu")
        layer.weight.data = torch.randn(after, before, generator=draw) * (2 / before) ** 0.5
        layer.bias.data = 0.5 * torch.randn(after, generator=draw)
        layers += [layer, nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).requires_grad_(False)
    net[-1].bias -= net(torch.rand(500, *SHAPE, generator=draw)).mean(0)
    return net


@pytest.mark.parametrize(
    ("count", "seeds"), [(40, range(100, 104)), pytest.param(60, range(104, 124), marks=pytest.mark.long)]
)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_walk_in_the_box_fails_and_a_longer_one_is_nearer(norm, count, seeds):
    ratios = {9: [], 40: [], 100: []}
    for seed in seeds:
        net, x = relu_net(seed), images(count, seed + 1)
        truth = lattice(net, x, norm=norm, clipped=True, resolution=300)
        judged = truth.success & (truth.margin > NEAREST)
        for steps, found in ratios.items():
            result = walk(net, x, norm=norm, clipped=True, steps=steps)
            assert bool(result.success[judged].all()), (seed, steps)
            found.append((result.margin / truth.margin)[judged])
    together = {steps: torch.cat(found) for steps, found in ratios.items()}
    means = [float(ratio.mean()) for ratio in together.values()]
    assert means == sorted(means, reverse=True)
    assert means[1] <= 1.005
    assert float(together[40].max()) <= 1.5
    assert float(together[100].max()) <= 1.15


class Spot(nn.Module):
    """Class 1 in a diamond that is a fiftieth of the box, around (0.7, 0.4); constant everywhere else."""

    def forward(self, x: Tensor) -> Tensor:
        height = (0.12 - (x.flatten(1) - torch.tensor([0.7, 0.4])).abs().sum(1)).relu()
        return torch.stack([torch.full_like(height, 0.02), height], 1)


@pytest.mark.parametrize("steps", [9, 40, 100])
@pytest.mark.parametrize("clipped", [False, True])
def test_a_region_that_no_gradient_points_to_is_found(steps, clipped):
    x = images(30, 0)
    truth = lattice(Spot(), x, clipped=True)
    found = walk(Spot(), x, clipped=clipped, steps=steps)
    assert bool(truth.success.all())
    assert bool(found.success.all())
    if steps > 9:
        away = found.start_class == 0
        assert float((found.margin / truth.margin)[away].mean()) <= 1.05


class Bent(nn.Module):
    """Boundaries at distances 0.2, 0.22 and 0.1 of an image that is 0.5 everywhere; the last looks `far` away there.

    Its difference rises with slope s up to 0.05 and with 10 more from there on.
    """

    def __init__(self, far: float) -> None:
        super().__init__()
        self.slope = 0.5 / (far - 0.1)
        self.height = far * self.slope

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = (x.flatten(1)[:, :3] - 0.5).unbind(1)
        bent = self.slope * third + 10 * (third - 0.05).relu() - self.height
        return torch.stack([torch.zeros_like(first), first - 0.2, second - 0.22, bent], 1)


@pytest.mark.parametrize(("steps", "far"), [(40, 0.38), (100, 0.58)])
def test_a_class_whose_boundary_bends_towards_the_image_is_walked_to(steps, far):
    # of so many pixels no random place is near the third boundary
    found = walk(Bent(far), torch.full((2, 1, 28, 28), 0.5), steps=steps)
    assert found.boundary_class.tolist() == [3, 3]
    torch.testing.assert_close(found.margin, torch.full((2,), 0.1), rtol=1e-3, atol=0)
