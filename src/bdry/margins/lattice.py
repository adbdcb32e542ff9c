"""Margins in two dimensions by brute force: a lattice over the plane, then finer ones around what was found."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model, logits_in_batches
from ..core.norms import norm as norm_of
from ..core.segments import gap
from ..errors import UsageError
from .result import ESTIMATORS, MarginResult, bisected

BATCH = 65_536
# how far beyond the unit square the lattice reaches where the box does not hold
BEYOND = 1.0
ZOOMS = 3


@ESTIMATORS.register("lattice")
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
    From the nearest lattice point of another label, finer lattices of three cells' width follow, then bisection. What
    is found is an upper bound that misses the margin by less than a cell unless a region is smaller than a cell.

    Args:
        x: (N, C, H, W) with C H W = 2.

    Raises:
        UsageError: the data has not two dimensions.
    """
    if x[0].numel() != 2:
        raise UsageError(f"margin=lattice: takes two-dimensional data, not {x[0].numel()} pixels; margin=deepfool does")
    low, high = (0.0, 1.0) if clipped else (-BEYOND, 1.0 + BEYOND)
    axis = torch.linspace(low, high, round(resolution * (high - low)) + 1, dtype=x.dtype, device=x.device)
    points = torch.cartesian_prod(axis, axis).reshape(-1, *x.shape[1:])
    labels = logits_in_batches(model, points, BATCH).argmax(1)
    logits = logits_in_batches(model, x, BATCH)
    start = logits.argmax(1) if start_class is None else start_class
    end, reached = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    forwards = torch.full_like(start, 1 + len(points) // max(len(x), 1))
    for row in range(len(x)):
        wanted = labels != start[row] if towards is None else labels == towards[row]
        found = points[wanted]
        width = 1.0 / resolution
        for zoom in range(ZOOMS + 1):
            if len(found) == 0:
                break
            nearest = found[norm_of(found - x[row], norm).argmin()]
            end[row], reached[row] = nearest, True
            if zoom < ZOOMS:
                found = _around(nearest, width, low, high)
                found_labels = model(found).argmax(1)
                forwards[row] += len(found)
                found = found[found_labels != start[row] if towards is None else found_labels == towards[row]]
                width /= 7
    return bisected(
        model,
        x,
        end,
        start,
        reached & logits.isfinite().all(1),
        norm=norm,
        towards=towards,
        start_gap=gap(logits, start, towards),
        end_gap=gap(logits_in_batches(model, end, BATCH), start, towards),
        iterations=torch.full_like(start, ZOOMS),
        forwards=forwards,
        backwards=torch.zeros_like(start),
    )


def _around(point: Tensor, width: float, low: float, high: float) -> Tensor:
    """A lattice of 22 x 22 points that spans three cells of `width`, with `point` kept among them; (485, ...)."""
    offsets = torch.linspace(-1.5 * width, 1.5 * width, 22, dtype=point.dtype, device=point.device)
    grid = torch.cartesian_prod(offsets, offsets).reshape(-1, *point.shape)
    return torch.cat([point[None], (point + grid).clamp(low, high)])
