"""Subspaces that the shared directions are compared with, as orthonormal columns (d, m) in float64, and noise in them.

Principal components of the images, leading directions of first-order perturbations, random ones, and all that the
network can react to (arXiv 1705.09552).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model, evaluate, logits_in_batches
from ...core.norms import steepest
from ...core.statistics import wilson


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


@dataclass(frozen=True)
class Subspace:
    """The span of orthonormal columns, (d, m), or its orthogonal complement."""

    basis: Tensor
    complement: bool = False

    @property
    def dim(self) -> int:
        """Its dimension."""
        d, m = self.basis.shape
        return d - m if self.complement else m

    def project(self, flat: Tensor) -> Tensor:
        """The part of rows (N, d) in it."""
        inside = (flat @ self.basis) @ self.basis.T
        return flat - inside if self.complement else inside


@dataclass(frozen=True)
class NoiseRow:
    """A row of table noise.

    rel_norm: the noise's length over the mean length of an image.
    label_change_rate: share of `num_images` whose predicted label changes, low and high its Wilson interval.
    accuracy: share whose noisy label is the true one.
    """

    subspace: str
    dim: int
    rel_norm: float
    num_images: int
    label_change_rate: float
    low: float
    high: float
    accuracy: float


def noise_subspaces(
    shared: Tensor,
    components: Tensor,
    first_order: Tensor,
    rng: torch.Generator,
    reach: Reach | None = None,
    mean_hessian: Tensor | None = None,
) -> dict[str, Subspace]:
    """The six subspaces of the noise test, so that curved is not mistaken for steep.

    shared, shared_complement, random, pca, gradient, shared_minus_gradient; and with `reach` the control of the rank
    confound, reachable_complement: the part of the complement of `shared` that the network can react to at all.

    Args:
        shared: S, (d, m).
        components: `principal_components`, (d, m).
        first_order: `leading_perturbations`, (d, m).
        rng: the random subspace is drawn from it.
        reach: what the network can react to.
        mean_hessian: the basis of `mean_hessian_directions`, (d, m), for a subspace of that name.
    """
    subspaces = {
        "shared": Subspace(shared),
        "shared_complement": Subspace(shared, complement=True),
        "random": Subspace(random_basis(shared.shape[0], shared.shape[1], rng).to(shared)),
        "pca": Subspace(components),
        "gradient": Subspace(first_order),
        "shared_minus_gradient": Subspace(without(shared, first_order)),
    }
    if mean_hessian is not None:
        subspaces["mean_hessian"] = Subspace(mean_hessian)
    if reach is not None:
        subspaces["reachable_complement"] = Subspace(without(reach.basis, shared))
    return subspaces


def noise_sensitivity(
    model: Model,
    x: Tensor,
    labels: Tensor,
    subspaces: Mapping[str, Subspace],
    *,
    rel_norms: Sequence[float],
    rng: torch.Generator,
    batch_size: int = 1024,
) -> list[NoiseRow]:
    """How often the label changes under noise uniform on the sphere of a given length in each subspace.

    Each image gets one Gaussian draw, whose part in a subspace is scaled to each length: subspaces and lengths
    are compared on the same draws. Unclipped, as in the paper. Where a subspace has dimension 0, or there is no image,
    rows hold nan.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        labels: (N,), the true ones.
        subspaces: by name, of the space of images.
        rel_norms: lengths of the noise, relative to the mean length of the images.
        rng: of the noise, of the CPU.
        batch_size: images at a time.
    """
    drawn = torch.randn(x.flatten(1).shape, generator=rng, dtype=torch.float64).to(x.device)
    typical = float(x.flatten(1).double().norm(dim=1).mean())
    clean = logits_in_batches(model, x, batch_size).argmax(1)
    rows = []
    for name, subspace in subspaces.items():
        noise = steepest(subspace.project(drawn), "l2").reshape(x.shape)
        for rel_norm in rel_norms:
            if subspace.dim == 0:
                rows.append(NoiseRow(name, 0, rel_norm, len(x), *[float("nan")] * 4))
                continue
            noisy = (x.double() + rel_norm * typical * noise).to(x.dtype)
            found = logits_in_batches(model, noisy, batch_size).argmax(1)
            changed = int((found != clean).sum())
            low, high = wilson(changed, len(x))
            accuracy = float((found == labels).double().mean())
            share = changed / len(x) if len(x) else float("nan")
            rows.append(NoiseRow(name, subspace.dim, rel_norm, len(x), share, low, high, accuracy))
    return rows
