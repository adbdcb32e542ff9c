"""Cross-sections of the labels around boundary points, in planes of the normal and a tangent, as grids of labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model, logits_of
from .directions import random_tangents
from .points import BoundaryPoints
from .spectrum import Spectrum


@dataclass(frozen=True)
class Sections:
    """Labels at z + a n + b v for N points: labels[i, j, k] at a = axis[j], b = axis[k]; (N, R, R) int64.

    axis: (R,), pixel units, symmetric around 0. n points to the side of `own`.
    """

    axis: Tensor
    labels: Tensor


@torch.no_grad()
def label_sections(
    model: Model, z: Tensor, normal: Tensor, tangent: Tensor, *, extent: float, resolution: int, batch_size: int = 4096
) -> Sections:
    """The labels in the planes through z, (N, ...), spanned by unit normals and tangents, (N, ...) each.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...).
        normal: (N, ...), of length 1.
        tangent: (N, ...), of length 1.
        extent: half the side of the square, pixel units.
        resolution: R, points a side; odd ones hit z itself.
        batch_size: points that go through the model at a time.

    Raises:
        ValueError: extent or resolution is not positive.
    """
    if not (extent > 0 and resolution > 0):
        raise ValueError(f"extent={extent}, resolution={resolution}: both must be above 0")
    axis = torch.linspace(-extent, extent, resolution, dtype=z.dtype, device=z.device)
    labels = []
    for cell in torch.arange(len(z) * resolution**2, device=z.device).split(batch_size):
        row, along, across = cell // resolution**2, cell // resolution % resolution, cell % resolution
        shape = (-1, *[1] * (z.ndim - 1))
        at = z[row] + axis[along].reshape(shape) * normal[row] + axis[across].reshape(shape) * tangent[row]
        labels.append(logits_of(model, at).argmax(1))
    return Sections(axis, torch.cat(labels).reshape(len(z), resolution, resolution))


def curvature_sections(
    model: Model,
    points: BoundaryPoints,
    spectrum: Spectrum,
    rng: torch.Generator,
    *,
    extent: float,
    resolution: int = 101,
) -> dict[str, Sections]:
    """The planes of the normal with the most positive ("max"), most negative ("min") and a "random" tangent.

    Args:
        model: points (N, ...) to logits (N, K).
        points: all of them found.
        spectrum: of them, with at least one direction kept at each end.
        rng: of the random tangents, of the CPU.
        extent: half the side of the square, pixel units.
        resolution: points a side.

    Raises:
        ValueError: the spectrum was made without directions.
    """
    num_ends = spectrum.directions.shape[1] // 2
    if num_ends == 0:
        shape = tuple(spectrum.directions.shape)
        raise ValueError(f"directions of shape {shape}: none is kept; make the spectrum with num_directions=1 or more")
    tangents = {
        "max": spectrum.directions[:, 0],
        "min": spectrum.directions[:, num_ends],
        "random": random_tangents(points.gradient, 1, rng)[:, 0],
    }
    return {
        name: label_sections(model, points.point, points.normal, tangent, extent=extent, resolution=resolution)
        for name, tangent in tangents.items()
    }
