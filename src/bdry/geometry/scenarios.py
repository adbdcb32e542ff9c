"""The three kinds of pairs of points of one region whose connection is looked for (docs/papers/fawzi2017.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import steepest
from ..core.seeds import generator
from ..data import Split
from ..errors import UsageError
from ..registry import Registry
from .paths import labels_at
from .regions import Projected, Projection, project_into


@dataclass(frozen=True)
class Pairs:
    """P pairs of points that the classifier gives one label, pixel units of [0, 1].

    x1, x2: (P, ...). label: (P,) int64, predicted for x1.
    index1, index2: (P,) int64, the official indices of the images they come from; -1 for a random point.
    success: (P,) bool; where false x2 could not be brought into the region of x1 and has another label.
    forwards, backwards: (P,) int64, passes spent on bringing it there.
    """

    x1: Tensor
    x2: Tensor
    label: Tensor
    index1: Tensor
    index2: Tensor
    success: Tensor
    forwards: Tensor
    backwards: Tensor


# name -> scenario(model, split, num_pairs, *, seed, how, batch_size); pairs are drawn independently of each other
SCENARIOS: Registry[Callable[..., Pairs]] = Registry("scenario")


@SCENARIOS.register("natural")
def natural(
    model: Model, split: Split, num_pairs: int, *, seed: int = 0, how: Projection | None = None, batch_size: int = 512
) -> Pairs:
    """Scenario 1: two different images of the split with the same *predicted* label. Nothing is projected.

    Raises `UsageError` where no two images share a label.
    """
    images = _Images(model, split, batch_size)
    eligible = (images.size > 1).nonzero()[:, 0]
    if len(eligible) == 0:
        raise UsageError(f"scenario=natural: no two of the {len(split)} images have the same predicted label")
    draw = generator(seed, "natural")
    one = eligible[_draw(torch.full((num_pairs,), len(eligible)), draw)]
    # the others of the class are those that follow the first, round the class
    start, size = images.start[one], images.size[one]
    ahead = 1 + _draw(size - 1, draw)
    two = images.order[start + (images.rank[one] - start + ahead) % size]
    nothing = torch.zeros_like(one)
    moved = Projected(images.x(two), torch.ones_like(one, dtype=torch.bool), nothing, nothing)
    return images.pairs(one, moved, images.index(two))


@SCENARIOS.register("perturbed")
def perturbed(
    model: Model, split: Split, num_pairs: int, *, seed: int = 0, how: Projection | None = None, batch_size: int = 512
) -> Pairs:
    """Scenario 2: an image, and an image of another predicted label with a minimal perturbation into the first's.

    Raises `UsageError` where all images have one label.
    """
    images = _Images(model, split, batch_size)
    if len(images.predicted.unique()) < 2:
        raise UsageError(f"scenario=perturbed: the {len(split)} images have one predicted label; it takes two")
    draw = generator(seed, "perturbed")
    one = _draw(torch.full((num_pairs,), len(images.predicted)), draw)
    start, size = images.start[one], images.size[one]
    # in the order by class the others are those before and after the block of the first's class
    place = _draw(len(images.predicted) - size, draw)
    two = images.order[torch.where(place < start, place, place + size)]
    moved = project_into(model, images.x(two), images.label(one), how or Projection(), batch_size=batch_size)
    return images.pairs(one, moved, images.index(two))


@SCENARIOS.register("random")
def random(
    model: Model, split: Split, num_pairs: int, *, seed: int = 0, how: Projection | None = None, batch_size: int = 512
) -> Pairs:
    """Scenario 3: an image, and a random point with a minimal perturbation into the first's region.

    The point is uniform on the sphere around 0 whose radius is the images' mean l2 norm: it leaves the [0, 1] box
    unless the projection is clipped, which clips it first. One that has the label already is not perturbed.
    """
    images, how = _Images(model, split, batch_size), how or Projection()
    draw = generator(seed, "random")
    one = _draw(torch.full((num_pairs,), len(images.predicted)), draw)
    x1 = images.x(one)
    radius = split.pixels().flatten(1).norm(dim=1).mean()
    point = radius * steepest(torch.randn(x1.shape, generator=draw), "l2").to(x1)
    point = point.clamp(0, 1) if how.clipped else point
    moved = project_into(model, point, images.label(one), how, batch_size=batch_size)
    return images.pairs(one, moved, torch.full_like(images.index(one), -1))


class _Images:
    """The images with finite logits, ordered by predicted class. Rows are drawn, hence looked up, on the CPU.

    predicted: (N,). order: (N,), rows by class; rank: (N,), each row's place in it.
    start, size: (N,), first place and length of the block of each row's class.
    """

    def __init__(self, model: Model, split: Split, batch_size: int) -> None:
        labels = labels_at(model, split.pixels(), batch_size)
        self.split = split[labels >= 0]
        if len(self.split) == 0:
            raise UsageError(f"the classifier's logits are not finite on any of the {len(split)} images")
        self.predicted = labels[labels >= 0].cpu()
        self.order = self.predicted.argsort(stable=True)
        self.rank = torch.empty_like(self.order)
        self.rank[self.order] = torch.arange(len(self.order))
        count = self.predicted.bincount()
        self.size = count[self.predicted]
        self.start = (count.cumsum(0) - count)[self.predicted]

    def x(self, rows: Tensor) -> Tensor:
        return self.split[rows.to(self.split.labels.device)].pixels()

    def index(self, rows: Tensor) -> Tensor:
        return self.split.index[rows.to(self.split.index.device)]

    def label(self, rows: Tensor) -> Tensor:
        return self.predicted[rows].to(self.split.labels.device)

    def pairs(self, one: Tensor, moved: Projected, index2: Tensor) -> Pairs:
        """The pairs of the images `one` and what was made of their partners."""
        costs = [cost.to(index2.device) for cost in (moved.reached, moved.forwards, moved.backwards)]
        return Pairs(self.x(one), moved.points, self.label(one), self.index(one), index2, *costs)


def _draw(size: Tensor, draw: torch.Generator) -> Tensor:
    """A number uniform among 0 ... size - 1 for each `size`, (P,) int64."""
    uniform = torch.rand(len(size), dtype=torch.float64, generator=draw)
    return torch.minimum((uniform * size).to(torch.int64), size - 1)
