"""Margins in two dimensions by brute force: a lattice over the plane, then finer ones around what was found."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model, logits_in_batches
from ..core.norms import norm as norm_of
from ..core.segments import gap
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search

BATCH = 65_536
# how far beyond the unit square the lattice reaches where the box does not hold
BEYOND = 1.0
ZOOMS = 6


@ESTIMATORS.register("lattice", abilities=Abilities(num_pixels=2, tolerance=1e-2))
def lattice(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    resolution: int = 400,
) -> MarginResult:
    """Margins of two-dimensional data by evaluating the model on a lattice: ground truth for the other estimators.

    A lattice of `resolution` points a unit covers the box, or the box and one unit around it where not `clipped`.
    From the nearest lattice point of another label, ever finer lattices of three cells' width follow, then bisection.
    What is found is an upper bound that misses the margin by less than a cell unless a region is smaller than a cell.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1] with C H W = 2.
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: inside the [0, 1] box.
        towards: (N,), classes to reach.
        resolution: lattice points a unit.

    Raises:
        ValueError: the data has not two dimensions.
    """
    if x[0].numel() != 2:
        raise ValueError(f"x has {x[0].numel()} pixels: a lattice takes two-dimensional data")
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    low, high = (0.0, 1.0) if clipped else (-BEYOND, 1.0 + BEYOND)
    axis = torch.linspace(low, high, round(resolution * (high - low)) + 1, dtype=x.dtype, device=x.device)
    points = torch.cartesian_prod(axis, axis).reshape(-1, *x.shape[1:])
    search.forwards += len(points) // max(len(x), 1)
    # few enough for a cache, however many classes there are
    for part in points.split(max(256, 2**21 // search.logits.shape[1])):
        logits = logits_in_batches(model, part, BATCH)
        for row in search.open_rows():
            own = search.start[row].expand(len(part))
            reach = None if towards is None else towards[row].expand(len(part))
            value = gap(logits.masked_fill(search.ignored[row], -torch.inf), own, reach)
            there = (value < 0).nonzero()[:, 0]
            if len(there):
                nearest = there[norm_of(part[there] - x[row], norm).argmin()][None]
                search.remember(row[None], part[nearest], norm_of(part[nearest] - x[row], norm), value[nearest])
    found = (search.distance.isfinite() & (search.distance > 0)).nonzero()[:, 0]
    for rows in found.split(BATCH // 512) if len(found) else ():
        for zoom in range(ZOOMS):
            finer = _around(search.best[rows], 1.0 / resolution / 7**zoom).clamp(low, high)
            search.evaluate(rows.repeat_interleave(len(finer) // len(rows)), finer, graph=False)
    search.iterations += ZOOMS
    return search.result()


def _around(points: Tensor, width: float) -> Tensor:
    """Lattices of 22 x 22 points that span three cells of `width` around each of the points; (484 N, ...)."""
    offsets = torch.linspace(-1.5 * width, 1.5 * width, 22, dtype=points.dtype, device=points.device)
    grid = torch.cartesian_prod(offsets, offsets).reshape(1, -1, *points.shape[1:])
    return (points[:, None] + grid).flatten(0, 1)
