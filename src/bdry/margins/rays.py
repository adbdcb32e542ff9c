"""How far the boundary is along given rays, whatever lies beside them: no estimator of the margin, an upper bound each.

A ray is looked at on a grid of points; inside the first cell of it whose end has another label the crossing is found by
bracketing. Regions that the ray enters and leaves within one cell are missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model, logits_in_batches, logits_of
from ..core.norms import norm, per_sample
from ..core.segments import first_crossing, gap


@dataclass(frozen=True)
class RayResult:
    """Crossings of N images along T directions, in pixel units of [0, 1].

    distance: (N, T), l2 distance of the first crossing met, right to rounding; nan where none was met.
    success: (N, T) bool, whether one was met. boundary_class: (N, T) int64, the class there; -1 where none was met.
    start_class: (N,) int64, the class predicted for the image.
    forwards: (N,) int64, forward passes spent on the image and its rays.
    """

    distance: Tensor
    success: Tensor
    start_class: Tensor
    boundary_class: Tensor
    forwards: Tensor


@torch.no_grad()
def distances_along_rays(
    model: Model, x: Tensor, directions: Tensor, *, max_distance: float, samples: int, batch_size: int
) -> RayResult:
    """Where the label first differs from the predicted one on the rays x + t u, 0 < t <= max_distance, in R^d.

    Args:
        model: images to logits.
        x: (N, ...), the images.
        directions: (T, ...), unit vectors (l2), the same for every image.
        max_distance: the rays' length in pixel units.
        samples: grid points on a ray, evenly spaced, the last at its end.
        batch_size: rays at a time; memory is bounded by it.

    Raises:
        ValueError: the directions are not of the images' shape or not of length 1.

    Reference: ours; it serves arXiv 2002.01810 (see docs/papers/mickisch2020.md).
    """
    _check(x, directions)
    num_rays = len(x) * len(directions)
    logits = logits_in_batches(model, x, batch_size)
    start = logits.argmax(1)
    start_gap = gap(logits, start)
    distance = torch.full((num_rays,), torch.nan, dtype=x.dtype, device=x.device)
    boundary_class = torch.full((num_rays,), -1, device=x.device)
    forwards = torch.ones_like(start)
    for rays in torch.arange(num_rays, device=x.device).split(batch_size):
        image, direction = rays // len(directions), rays % len(directions)
        distance[rays], boundary_class[rays], spent = _along(
            model, x[image], directions[direction], start[image], start_gap[image], max_distance / samples, samples
        )
        forwards.index_add_(0, image, spent)
    shape = (len(x), len(directions))
    boundary_class = boundary_class.reshape(shape)
    return RayResult(distance.reshape(shape), boundary_class >= 0, start, boundary_class, forwards)


def _along(
    model: Model, x: Tensor, u: Tensor, start: Tensor, start_gap: Tensor, width: float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Distance, boundary class and forward passes of the rays x + t u, (N,) each; the grid's cells are `width` long."""
    cell, label = torch.full_like(start, -1), torch.full_like(start, -1)
    gap_before, gap_beyond = start_gap.clone(), torch.full_like(start_gap, torch.nan)
    forwards = torch.zeros_like(start)
    active = (start_gap >= 0).nonzero()[:, 0]
    for number in range(samples):
        if active.numel() == 0:
            break
        logits = logits_of(model, x[active] + (number + 1) * width * u[active])
        forwards[active] += 1
        value = gap(logits, start[active])
        is_beyond = value < 0
        crossed, active = active[is_beyond], active[~is_beyond]
        cell[crossed], label[crossed], gap_beyond[crossed] = number, logits[is_beyond].argmax(1), value[is_beyond]
        gap_before[active] = value[~is_beyond]

    distance = torch.full_like(start_gap, torch.nan)
    rows = (cell >= 0).nonzero()[:, 0]
    before = cell[rows].to(x.dtype) * width
    t, found, spent = first_crossing(
        model,
        x[rows] + per_sample(before, x) * u[rows],
        width * u[rows],
        start[rows],
        gap_at_x=gap_before[rows],
        gap_at_end=gap_beyond[rows],
    )
    forwards[rows] += spent
    distance[rows] = before + t * width
    # a crossing within rounding of the cell's ends may not show there again: the label at the grid point stands in
    label[rows] = torch.where(found >= 0, found, label[rows])
    return distance, label, forwards


def _check(x: Tensor, directions: Tensor) -> None:
    if directions.shape[1:] != x.shape[1:]:
        wanted, given = ("x".join(map(str, tensor.shape[1:])) for tensor in (x, directions))
        raise ValueError(f"directions: must be of the images' shape {wanted}, not {given}")
    if bool(((norm(directions, "l2") - 1).abs() > 1e-4).any()):
        raise ValueError("directions: must have l2 length 1")
