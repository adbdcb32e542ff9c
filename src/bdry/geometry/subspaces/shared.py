"""Directions along which the boundary is curved at many images at once (arXiv 1705.09552).

A basis is a (d, m) tensor of orthonormal columns, in float64: images are flattened, in pixel units of [0, 1]. What the
shared directions are compared with is in `bases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.measuring import Model
from ...core.norms import per_sample
from ...core.seeds import generator
from ..boundary.curvature import tangent_forms
from ..boundary.directions import random_directions
from ..boundary.hessian import EXACT, HessianMethod
from ..boundary.points import BoundaryPoints
from ..boundary.spectrum import DENSE_PIXELS, Spectrum
from .bases import numerical_rank

# a direction whose |curvature| is at most this share of the largest has none: what is left of 0 by rounding
NULL = 1e-6


@dataclass(frozen=True)
class SharedDirections:
    """The leading left singular vectors u_1, ... of the principal directions of a batch of boundary points.

    basis: (d, m), m at most the rank.
    singular_values: (m,), descending.
    rank: the numerical rank of the stacked directions, those without curvature left out.
    contribution: (N, m), the share of image n in singular value i squared; each column adds up to 1.
    image_shape: of one image, (C, H, W).
    """

    basis: Tensor
    singular_values: Tensor
    rank: int
    contribution: Tensor
    image_shape: torch.Size

    def images(self) -> Tensor:
        """u_1, ... as images, (m, C, H, W): the tiles that the paper finds like Gabor filters. Signs are arbitrary."""
        return self.basis.T.reshape(-1, *self.image_shape)


def shared_directions(spectrum: Spectrum, *, dim: int, per_image: int = 10) -> SharedDirections:
    """The subspace S: SVD of the `per_image` most curved principal directions of each boundary point.

    Directions without curvature (`NULL`), which a point has where fewer than `per_image` are curved, are left out.

    Args:
        spectrum: with at least `per_image` directions at each end, so that those of largest magnitude are among them;
            rows of nan are left out.
        dim: of S; S has fewer dimensions where the curved directions span fewer.
        per_image: directions taken of each point.

    Source: arXiv 1705.09552, section 4, as far as it is known (docs/papers/fawzi2017.md).

    Raises:
        ValueError: the points have fewer than `dim` directions together, or the images fewer pixels; or the network is
            affine, so that no direction is curved.
    """
    if spectrum.affine:
        raise ValueError("every curvature of an affine network is 0: no direction is shared")
    curvatures, flat = spectrum.directed, spectrum.directions.flatten(2).double()
    rows = (curvatures.isfinite().all(1) & flat.isfinite().flatten(1).all(1)).nonzero()[:, 0]
    taken = min(per_image, curvatures.shape[1])
    order = curvatures[rows].abs().argsort(dim=1, descending=True, stable=True)[:, :taken]
    curved = curvatures[rows].abs().gather(1, order)
    is_curved = curved > NULL * curved[:, :1]
    chosen = flat[rows].gather(1, order[:, :, None].expand(-1, -1, flat.shape[2])) * is_curved[:, :, None]
    most = min(len(rows) * taken, flat.shape[2])
    if dim > most:
        raise ValueError(
            f"dim={dim}: {len(rows)} boundary points of {taken} directions in {flat.shape[2]} pixels span {most}"
        )
    u, s, v = torch.linalg.svd(chosen.flatten(0, 1).T, full_matrices=False)
    rank = numerical_rank(s, max(len(u), v.shape[1]), spectrum.directions.dtype)
    dim = min(dim, rank)
    contribution = torch.zeros(len(flat), dim, dtype=s.dtype, device=s.device)
    contribution[rows] = v[:dim].square().unflatten(1, (len(rows), taken)).sum(2).T
    return SharedDirections(u[:, :dim], s[:dim], rank, contribution, spectrum.directions.shape[2:])


@dataclass(frozen=True)
class MeanHessian:
    """The leading eigenvectors of the mean Hessian of a batch of points.

    basis: (d, m), orthonormal.
    eigenvalues: (m,), of largest magnitude first.
    num_points: of the mean.
    """

    basis: Tensor
    eigenvalues: Tensor
    num_points: int


def mean_hessian_directions(
    model: Model,
    points: BoundaryPoints,
    *,
    dim: int,
    hessian: HessianMethod = EXACT,
    say: Callable[[int], None] = lambda products: None,
) -> MeanHessian:
    """The eigenvectors of largest |eigenvalue| of the mean of H_F over points, F = f_own - f_other of each point.

    Neither projected on the tangent planes nor divided by the gradients' lengths. Eigenvalues of at most `NULL` times
    the largest magnitude, and their vectors, are left out.

    Args:
        model: images -> logits.
        points: rows without success are left out.
        dim: eigenvectors wanted; there are fewer where the mean has a smaller rank.
        hessian: exact, or at a finite scale, which piecewise linear networks need.
        say: is told how many products with a point's Hessian were made, as they are.

    Source: the authors' code lineage, as the code of Jetley, Lord and Torr 2018 (NeurIPS) has it: the gradients are
        averaged over the points before the eigenvalues are looked for.
    Differs: all pairs of classes together, not a mean for each target class; dense up to `DENSE_PIXELS` pixels.

    Raises:
        PiecewiseLinearError: exact derivatives of a piecewise linear network.
        ValueError: `dim` is not below the number of pixels, where the mean is not made densely.
    """
    rows = points.success.nonzero()[:, 0].tolist()
    d = points.point.shape[1:].numel()
    local = [hessian(model, points.point[row : row + 1], int(points.own[row]), int(points.other[row])) for row in rows]
    if not local:
        return MeanHessian(points.point.new_zeros(d, 0).double(), points.point.new_zeros(0).double(), 0)

    def product(v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for each in local:
            total = total + each.product(v.to(points.point)).double()
            say(len(v))
        return total / len(local)

    if d <= DENSE_PIXELS:
        mean = product(torch.eye(d, dtype=torch.float64, device=points.point.device))
        values, vectors = torch.linalg.eigh((mean + mean.T) / 2)
    else:
        values, vectors = _largest_eigenpairs(product, d, dim, points.point.device)
    order = values.abs().argsort(descending=True)[:dim]
    order = order[values[order].abs() > NULL * values.abs().amax()]
    return MeanHessian(vectors[:, order], values[order], len(local))


def _largest_eigenpairs(
    product: Callable[[Tensor], Tensor], d: int, dim: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Of a symmetric operator on rows, by Lanczos' method: eigenvalues, (dim,), and eigenvectors, (d, dim)."""
    # here, because it is slow to import and most commands do without
    from scipy.sparse.linalg import LinearOperator, eigsh

    if dim >= d:
        raise ValueError(f"dim={dim}: must be below the number of pixels, {d}")

    def once(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(v.reshape(1, d)).to(device))[0].cpu().numpy()

    start = torch.randn(d, generator=generator(0, "lanczos"), dtype=torch.float64).numpy()
    values, vectors = eigsh(LinearOperator((d, d), matvec=once, dtype=np.float64), k=dim, which="LM", v0=start)
    return torch.from_numpy(values).to(device), torch.from_numpy(vectors).to(device)


def overlap(one: Tensor, other: Tensor) -> float:
    """How much of the smaller of two subspaces lies in the larger: mean cos^2 of their principal angles.

    Orthonormal columns, (d, m) and (d, k): 1 where the smaller is within the larger, m / d for random ones with k = m;
    nan where one of them is empty.

    Args:
        one: (d, m).
        other: (d, k).
    """
    smaller = min(one.shape[1], other.shape[1])
    return float((one.T @ other).square().sum()) / smaller if smaller else float("nan")


def shared_curvature(
    model: Model,
    points: BoundaryPoints,
    basis: Tensor,
    *,
    rng: torch.Generator,
    directions: int = 100,
    hessian: HessianMethod = EXACT,
    say: Callable[[int], None] = lambda products: None,
) -> Tensor:
    """rho_i(z) = |u_i^T P H P u_i| / E |v^T P H P v|, v uniform on the sphere: (N, m); 1 is a random direction's.

    Args:
        model: points (N, ...) to logits (N, K).
        points: of images that the basis has not seen.
        basis: (d, m), the u_i.
        rng: of the random v, of the CPU.
        directions: random v for the mean in the denominator, drawn for each point.
        hessian: exact, or at a finite scale, which piecewise linear networks need.
        say: is told how many products with a point's Hessian were made, as they are.

    Returns:
        nan in rows without a boundary point or where nothing bends (0/0).

    Raises:
        PiecewiseLinearError: exact derivatives of a piecewise linear network.
    """
    z = torch.where(per_sample(points.success, points.point), points.point, torch.nan)
    other = torch.where(points.success, points.other, points.own)
    shared = basis.T.reshape(-1, *z.shape[1:]).to(z)
    rows = []
    for i in range(len(z)):
        v = torch.cat([shared, random_directions(z[i : i + 1], directions, rng)[0]])
        at = slice(i, i + 1)
        forms = tangent_forms(model, z[at], points.own[at], other[at], v[None], hessian=hessian)[0].abs()
        rows.append(forms[: len(shared)] / forms[len(shared) :].mean())
        say(len(v))
    return torch.stack(rows) if rows else z.new_zeros(0, len(shared))


@dataclass(frozen=True)
class EnergyRow:
    """A row of table energy: the mean over `num_images` of ||U_k^T r||^2 / ||r||^2, and what chance gives, k / d."""

    subspace: str
    k: int
    mean_energy: float
    chance: float
    num_images: int


def energy(perturbations: Tensor, basis: Tensor) -> Tensor:
    """The share of each perturbation's squared length in the first k directions, k = 1 ... m: (N, ...) -> (N, m).

    nan where a perturbation is 0 or not finite.

    Args:
        perturbations: (N, ...).
        basis: (d, m), orthonormal columns.
    """
    flat = perturbations.flatten(1).double()
    return (flat @ basis).square().cumsum(1) / flat.square().sum(1, keepdim=True)


def energy_rows(perturbations: Tensor, bases: Mapping[str, Tensor], ks: Sequence[int]) -> list[EnergyRow]:
    """Mean energy of unseen images' perturbations in the first k directions of each basis, for the k that it has.

    Args:
        perturbations: (N, ...).
        bases: name -> (d, m), orthonormal columns.
        ks: numbers of directions.
    """
    rows = []
    for name, basis in bases.items():
        shares = energy(perturbations, basis)
        shares = shares[shares.isfinite().all(1)]
        means = shares.mean(0).tolist() if len(shares) else [float("nan")] * basis.shape[1]
        rows += [EnergyRow(name, k, means[k - 1], k / len(basis), len(shares)) for k in ks if k <= len(means)]
    return rows


def space_extent(images: Tensor) -> Tensor:
    """The effective number of pixels that each image is on, over that of Gaussian noise: (N, C, H, W) -> (N,).

    1 / sum p^2 with p the share of a pixel in the image's energy: 1 pixel ... all. About 1 for noise, below it where
    the image is localised, above it where it is even. nan for an image of zeros.

    Args:
        images: (N, C, H, W).
    """
    channels = images.shape[1]
    # the energy of C normal values: E[s]^2 / E[s^2] = C / (C + 2)
    return _effective_share(images.double().square().sum(1)) * (channels + 2) / channels


def frequency_extent(images: Tensor) -> Tensor:
    """The same of the spatial frequencies, by the discrete Fourier transform: (N, C, H, W) -> (N,).

    Args:
        images: (N, C, H, W).
    """
    channels = images.shape[1]
    # the energy of C complex normal values: C / (C + 1)
    power = torch.fft.fft2(images.double()).abs().square().sum(1)
    return _effective_share(power) * (channels + 1) / channels


def _effective_share(energy: Tensor) -> Tensor:
    flat = energy.flatten(1)
    return flat.sum(1).square() / (flat.shape[1] * flat.square().sum(1))
