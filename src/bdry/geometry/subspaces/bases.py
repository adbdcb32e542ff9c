"""Subspaces that the shared directions are compared with, as orthonormal columns (d, m) in float64.

Principal components of the images, leading directions of first-order perturbations, random ones, and all that the
network can react to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model, evaluate


def principal_components(images: Tensor, dim: int) -> Tensor:
    """The `dim` leading principal components of the images, (N, ...) -> (d, dim).

    Args:
        images: (N, ...).
        dim: dimensions, at most N and d.
    """
    flat = images.flatten(1).double()
    return _leading(flat - flat.mean(0), dim, "images")


def leading_perturbations(perturbations: Tensor, dim: int) -> Tensor:
    """The first-order subspace: SVD of perturbations scaled to length 1, (N, ...) -> (d, dim).

    Rows that are not finite or 0, of images without a boundary point, are left out.

    Args:
        perturbations: (N, ...).
        dim: dimensions, at most N and d.
    """
    flat = perturbations.flatten(1).double()
    length = flat.norm(dim=1)
    usable = length.isfinite() & (length > 0)
    return _leading(flat[usable] / length[usable, None], dim, "perturbations")


def random_basis(num_pixels: int, dim: int, rng: torch.Generator) -> Tensor:
    """A basis of a subspace uniform among those of dimension `dim`; drawn on the CPU, (d, dim).

    Args:
        num_pixels: d.
        dim: at most d.
        rng: a generator of the CPU.
    """
    if dim > num_pixels:
        raise ValueError(f"dim={dim}: images have {num_pixels} pixels")
    return torch.linalg.qr(torch.randn(num_pixels, dim, generator=rng, dtype=torch.float64)).Q


def without(basis: Tensor, removed: Tensor, tolerance: float = 1e-4) -> Tensor:
    """A basis of what is left of the span of `basis`, (d, m), once its part in `removed`, (d, k), is taken out.

    Directions whose part outside `removed` is shorter than `tolerance` are gone: (d, at most m).

    Args:
        basis: (d, m), orthonormal columns.
        removed: (d, k), orthonormal columns.
        tolerance: the length below which a direction is gone.
    """
    u, s, _ = torch.linalg.svd(basis - removed @ (removed.T @ basis), full_matrices=False)
    return u[:, s > tolerance]


@dataclass(frozen=True)
class Reach:
    """What the network can react to: the span of the gradients of its logits' differences.

    basis: (d, rank).
    num_gradients: how many were stacked.
    """

    basis: Tensor
    rank: int
    num_gradients: int
    num_pixels: int

    @property
    def is_confounded(self) -> bool:
        """Whether the span stopped growing before it filled the space.

        Then curved directions are shared, and noise off them is harmless, by architecture.
        """
        return self.rank < min(self.num_gradients, self.num_pixels)


def reach(model: Model, x: Tensor) -> Reach:
    """The span of the gradients of all f_k - f_0 at the images, (N, ...): at most N (K - 1) dimensions of it.

    A network whose first layer has w < d units reaches at most w. Rounding limits the rank that float32 gradients show.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, ...).
    """
    z, logits = evaluate(model, x)
    differences = (logits[:, 1:] - logits[:, :1]).sum(0)
    gradients = torch.cat(
        [torch.autograd.grad(value, z, retain_graph=True)[0].flatten(1) for value in differences.unbind(0)]
    )
    u, s, _ = torch.linalg.svd(gradients.double().T, full_matrices=False)
    rank = numerical_rank(s, max(gradients.shape), gradients.dtype)
    return Reach(u[:, :rank], rank, len(gradients), gradients.shape[1])


def numerical_rank(singular_values: Tensor, size: int, dtype: torch.dtype) -> int:
    """How many are above the rounding of a matrix whose larger side is `size` and whose entries came in `dtype`."""
    if not len(singular_values):
        return 0
    return int((singular_values > size * torch.finfo(dtype).eps * singular_values.amax()).sum())


def _leading(rows: Tensor, dim: int, what: str) -> Tensor:
    most = min(rows.shape)
    if dim > most:
        raise ValueError(f"dim={dim}: {len(rows)} {what} of {rows.shape[1]} pixels span {most}")
    return torch.linalg.svd(rows, full_matrices=False).Vh[:dim].T
