"""Directions along which the boundary is curved at many images at once (arXiv 1705.09552).

A basis is a (d, m) tensor of orthonormal columns, in float64: images are flattened, in pixel units of [0, 1]. What the
shared directions are compared with is in `bases`. Source: docs/papers/fawzi2017.md, Shared directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import per_sample
from ..errors import UsageError
from .bases import numerical_rank
from .boundary_points import BoundaryPoints
from .curvature import tangent_forms
from .directional import unit_directions
from .hessian import EXACT, HessianMethod
from .spectrum import Spectrum


@dataclass(frozen=True)
class SharedDirections:
    """The leading left singular vectors u_1, ... of the principal directions of a batch of boundary points.

    basis: (d, m). singular_values: (m,), descending. rank: the numerical rank of the stacked directions; columns of
    the basis beyond it are arbitrary.
    contribution: (N, m), the share of image n in singular value i squared; each column adds up to 1 within the rank.
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
    """The subspace S: SVD of the `per_image` most curved principal directions of each boundary point. [4.1]

    Args:
        spectrum: with at least `per_image` directions at each end, so that those of largest magnitude are among them;
            rows of nan are left out.
        dim: m, of S.

    Raises:
        UsageError: the points have fewer than `dim` directions together, or the images fewer pixels; or the network is
            affine, so that no direction is curved.
    """
    if spectrum.affine:
        raise UsageError("shared directions: every curvature of an affine network (arch=linear) is 0, none is shared")
    curvatures, flat = spectrum.directed, spectrum.directions.flatten(2).double()
    rows = (curvatures.isfinite().all(1) & flat.isfinite().flatten(1).all(1)).nonzero()[:, 0]
    taken = min(per_image, curvatures.shape[1])
    order = curvatures[rows].abs().argsort(dim=1, descending=True, stable=True)[:, :taken]
    chosen = flat[rows].gather(1, order[:, :, None].expand(-1, -1, flat.shape[2]))
    most = min(len(rows) * taken, flat.shape[2])
    if dim > most:
        raise UsageError(
            f"dim={dim}: {len(rows)} boundary points of {taken} directions in {flat.shape[2]} pixels span {most}"
        )
    u, s, v = torch.linalg.svd(chosen.flatten(0, 1).T, full_matrices=False)
    contribution = torch.zeros(len(flat), dim, dtype=s.dtype, device=s.device)
    contribution[rows] = v[:dim].square().unflatten(1, (len(rows), taken)).sum(2).T
    rank = numerical_rank(s, max(len(u), v.shape[1]), spectrum.directions.dtype)
    return SharedDirections(u[:, :dim], s[:dim], rank, contribution, spectrum.directions.shape[2:])


def shared_curvature(
    model: Model,
    points: BoundaryPoints,
    basis: Tensor,
    *,
    generator: torch.Generator,
    directions: int = 100,
    hessian: HessianMethod = EXACT,
) -> Tensor:
    """rho_i(z) = |u_i^T P H P u_i| / E |v^T P H P v|, v uniform on the sphere: (N, m); 1 is a random direction's. [4.1]

    Args:
        points: of images that the basis has not seen. basis: (d, m), the u_i.
        directions: random v for the mean in the denominator, drawn for each point.
        hessian: exact, or at a finite scale, which piecewise linear networks need.

    Returns:
        nan in rows without a boundary point or where nothing bends (0/0).

    Raises:
        UsageError: exact derivatives of a piecewise linear network.
    """
    z = torch.where(per_sample(points.success, points.point), points.point, torch.nan)
    other = torch.where(points.success, points.other, points.own)
    shared = basis.T.reshape(-1, *z.shape[1:]).to(z)
    rows = []
    for i in range(len(z)):
        v = torch.cat([shared, unit_directions(z[i : i + 1], directions, generator)[0]])
        at = slice(i, i + 1)
        forms = tangent_forms(model, z[at], points.own[at], other[at], v[None], hessian=hessian)[0].abs()
        rows.append(forms[: len(shared)] / forms[len(shared) :].mean())
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
    """The share of each perturbation's squared length in the first k directions, k = 1 ... m: (N, ...) -> (N, m). [4.3]

    nan where a perturbation is 0 or not finite.
    """
    flat = perturbations.flatten(1).double()
    return (flat @ basis).square().cumsum(1) / flat.square().sum(1, keepdim=True)


def energy_rows(perturbations: Tensor, bases: Mapping[str, Tensor], ks: Sequence[int]) -> list[EnergyRow]:
    """Mean energy of unseen images' perturbations in the first k directions of each basis, for the k that it has."""
    rows = []
    for name, basis in bases.items():
        shares = energy(perturbations, basis)
        shares = shares[shares.isfinite().all(1)]
        means = shares.mean(0).tolist() if len(shares) else [float("nan")] * basis.shape[1]
        rows += [EnergyRow(name, k, means[k - 1], k / len(basis), len(shares)) for k in ks if k <= len(means)]
    return rows
