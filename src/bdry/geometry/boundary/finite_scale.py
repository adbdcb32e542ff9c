"""Curvature of the boundary F = f_own - f_other = 0 at a finite scale, from its height alone: any activation will do.

Over the tangent plane at z, with unit normal n, the boundary is at height s: F(z + t v + s n) = 0. The curvature along
v at scale t is -2 s / t^2, which tends to the normal curvature as t falls to 0. (docs/papers/fawzi2017.md)

For principal curvatures a height has to be looked up in every direction and pair of directions, so that only a few
directions can be searched: those that central differences of the gradient, symmetrised, call most curved. Of images of
many pixels these differences are taken in a Krylov space: they are candidates, which need not be exact, and Lanczos'
method need not converge where kinks make the differences unsymmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model, logits_of
from ...core.norms import norm, per_sample, steepest
from ...core.seeds import generator
from ...core.segments import rounding
from .hessian import CentralDifferences
from .logit_gap import SIGN, gap_and_gradient, pair_gap
from .points import BoundaryPoints
from .spectrum import dense_spectrum

# products with the Hessian, of which directions at both ends are found, beside four for each direction
FEWEST_PRODUCTS = 20
# a direction whose new part is at most this share of its length is none
NOTHING_NEW = 1e-8


@dataclass(frozen=True)
class FiniteScale:
    """Curvatures of N points along m directions at one scale t (pixel units), in 1 / pixel units.

    curvature: (N, m), the mean of both sides; one_sided: (N, m, 2), along +v and -v, which differ where the boundary is
    kinked or tilted; nan where no boundary is within reach.
    own_side: (N, m, 2) bool, F(z +- t v) > 0: the tangent
    plane lies there on the side of `own`, whatever the sign convention.
    """

    scale: float
    curvature: Tensor
    one_sided: Tensor
    own_side: Tensor
    sign: str = SIGN

    def mean(self) -> tuple[Tensor, Tensor, Tensor]:
        """Over the directions: the mean curvature, its standard error and the share of directions found, (N,) each."""
        found = self.curvature.isfinite()
        count = found.sum(1)
        mean = self.curvature.nanmean(1)
        spread = torch.where(found, self.curvature - mean[:, None], 0.0).square().sum(1) / (count - 1)
        return mean, (spread / count).sqrt(), found.double().mean(1)


@torch.no_grad()
def geometric_curvature(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    gradient: Tensor,
    directions: Tensor,
    *,
    scale: float,
    reach: float = 2.0,
    batch_size: int = 1024,
) -> FiniteScale:
    """-2 s / t^2 along unit tangents (N, m, ...), by root finding along the normal at z +- t v.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...), on the boundary.
        own: (N,).
        other: (N,).
        gradient: (N, ...), of F at z.
        directions: (N, m, ...), unit tangents.
        scale: t.
        reach: heights up to `reach` t are searched.
        batch_size: points that go through the model at a time.

    Raises:
        ValueError: the scale is not positive.
    """
    if not scale > 0:
        raise ValueError(f"scale={scale}: must be above 0")
    m = directions.shape[1]
    slope, normal = norm(gradient, "l2"), steepest(gradient, "l2")
    side = scale * torch.stack([directions, -directions], 2)
    plane = (z[:, None, None] + side).reshape(-1, *z.shape[1:])
    owner = torch.arange(len(z), device=z.device).repeat_interleave(2 * m)
    parts = []
    for base, row in zip(plane.split(batch_size), owner.split(batch_size), strict=True):
        parts.append(_height(model, base, normal[row], own[row], other[row], slope[row], reach * scale))
    heights = torch.cat([height for height, _ in parts]).reshape(len(z), m, 2)
    at_plane = torch.cat([value for _, value in parts]).reshape(len(z), m, 2)
    one_sided = -2 * heights / scale**2
    return FiniteScale(scale, one_sided.mean(2), one_sided, at_plane > 0)


def geometric_matrix(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    gradient: Tensor,
    basis: Tensor,
    *,
    scale: float,
) -> Tensor:
    """The curvatures at one scale within the span of k orthonormal tangents, (N, k, ...) -> symmetric (N, k, k).

    By polarisation: with q the curvature along unit tangents, G_ij = q((b_i + b_j) / sqrt 2) - (q(b_i) + q(b_j)) / 2.
    Its eigenvalues are the principal curvatures of that section; nan where a height was not found.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...), on the boundary.
        own: (N,) int64, the classes on the image's side of the boundary.
        other: (N,) int64, the classes beyond.
        gradient: (N, ...), of F at z.
        basis: (N, k, ...), orthonormal tangents.
        scale: t, pixel units, above 0.
    """
    k = basis.shape[1]
    first, second = torch.triu_indices(k, k, 1, device=z.device)
    mixed = (basis[:, first] + basis[:, second]) / 2**0.5
    directions = torch.cat([basis, mixed], 1)
    q = geometric_curvature(model, z, own, other, gradient, directions, scale=scale).curvature
    pure, cross = q[:, :k], q[:, k:] - (q[:, first] + q[:, second]) / 2
    matrix = torch.diag_embed(pure)
    matrix[:, first, second] = cross
    matrix[:, second, first] = cross
    return matrix


def _height(
    model: Model, base: Tensor, normal: Tensor, own: Tensor, other: Tensor, slope: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """s with F(base + s normal) = 0, nearest to 0 as far as doubling tells, nan beyond `reach`; and F(base). (R,)."""

    def at(rows: Tensor, s: Tensor) -> Tensor:
        logits = logits_of(model, base[rows] + per_sample(s, base) * normal[rows])
        value = pair_gap(logits, own[rows], other[rows])
        # what is rounding alone is 0: looking for its root is looking for chance
        return torch.where(value.abs() <= rounding(logits), 0.0, value)

    rows = torch.arange(len(base), device=base.device)
    at_base = at(rows, torch.zeros_like(slope))
    # F rises along the normal: where it is positive the boundary is below
    near, far = torch.zeros_like(slope), -1.5 * at_base / slope
    far = torch.where(far.abs() < reach, far, -reach * at_base.sign())
    value_near, value_far = at_base.clone(), torch.full_like(slope, torch.nan)
    rows = ((at_base != 0) & at_base.isfinite() & far.isfinite()).nonzero()[:, 0]
    bracketed = torch.zeros_like(own, dtype=torch.bool)
    while rows.numel():
        value_far[rows] = at(rows, far[rows])
        crossed = value_far[rows] * at_base[rows] <= 0
        bracketed[rows[crossed]] = True
        rows = rows[~crossed & (far[rows].abs() < reach)]
        near[rows], value_near[rows] = far[rows], value_far[rows]
        far[rows] = (2 * far[rows]).clamp(-reach, reach)
    height = torch.full_like(slope, torch.nan)
    height[at_base == 0] = 0.0
    rows = bracketed.nonzero()[:, 0]
    height[rows] = _root(at, rows, near[rows], far[rows], value_near[rows], value_far[rows])
    return height, at_base


def _root(
    at: Callable[[Tensor, Tensor], Tensor], rows: Tensor, a: Tensor, b: Tensor, value_a: Tensor, value_b: Tensor
) -> Tensor:
    """A root of `at(rows, s)` between a and b, where its signs differ, (R,): Illinois' method, halving every third."""
    side = torch.zeros_like(rows)
    for step in range(60):
        narrow = 4 * torch.finfo(a.dtype).eps * torch.maximum(a.abs(), b.abs())
        open_rows = (((b - a).abs() > narrow) & (value_a != 0) & (value_b != 0)).nonzero()[:, 0]
        if open_rows.numel() == 0:
            break
        low, high, f_low, f_high = (part[open_rows] for part in (a, b, value_a, value_b))
        share = f_low / (f_low - f_high) if step % 3 < 2 else 0.5
        s = low + share * (high - low)
        value = at(rows[open_rows], s)
        is_a = value * f_low > 0
        # the end that stays twice in a row counts half
        moved = torch.where(is_a, 1, -1)
        again = moved == side[open_rows]
        side[open_rows] = moved
        a[open_rows], b[open_rows] = torch.where(is_a, s, low), torch.where(is_a, high, s)
        value_a[open_rows] = torch.where(is_a, value, torch.where(again, f_low / 2, f_low))
        value_b[open_rows] = torch.where(is_a, torch.where(again, f_high / 2, f_high), value)
    return torch.where(value_a.abs() < value_b.abs(), a, b)


def candidate_tangents(model: Model, points: BoundaryPoints, *, ends: int, step: float, dense: bool) -> Tensor:
    """Orthonormal tangents in which the boundary may be most curved, (N, k, ...), k = min(2 ends, d - 1).

    Args:
        model: points (N, ...) to logits (N, K).
        points: all of them found.
        ends: directions of each sign.
        step: of the central differences, pixel units.
        dense: from all d columns of the Hessian, else within a Krylov space of some ten for each end.

    Returns:
        nan rows where these do not exist, as of a gradient of 0.
    """
    size = points.start.shape[1:].numel() - 1
    if not dense and 2 * ends < size:
        return _krylov_ends(model, points, ends, step, min(FEWEST_PRODUCTS + 8 * ends, size))
    most, hessian = ends if 2 * ends < size else size, CentralDifferences(step)
    found = dense_spectrum(model, points.point, points.own, points.other, num_directions=most, hessian=hessian)
    return found.directions[:, : min(2 * ends, size)]


def _krylov_ends(model: Model, points: BoundaryPoints, ends: int, step: float, products: int) -> Tensor:
    """The ends of the symmetrised Hessian's spectrum within a Krylov space, of all points at once, (N, 2 ends, ...)."""
    shape, normal = points.point.shape[1:], points.normal.flatten(1)
    held = normal.new_zeros(len(normal), 0, normal.shape[1])
    # the same for every point: a result does not depend on the batch
    draws = torch.randn(products, normal.shape[1], generator=generator(0, "krylov"), dtype=torch.float64).to(normal)

    def new(v: Tensor) -> Tensor:
        """The part of v, (N, d), that is a tangent and new; twice, for rounding."""
        taken = torch.cat([normal[:, None], held], 1)
        for _ in range(2):
            v = v - torch.einsum("nk,nkd->nd", torch.einsum("nkd,nd->nk", taken, v), taken)
        return v

    image, images = torch.zeros_like(normal), []
    for draw in draws:
        v = new(image)
        # where nothing new came, as of a boundary that does not bend, another direction goes on
        ended = v.norm(dim=1) <= NOTHING_NEW * image.norm(dim=1)
        v = steepest(torch.where(ended[:, None], new(draw.expand_as(v)), v), "l2")
        held = torch.cat([held, v[:, None]], 1)
        shift = step * v.unflatten(1, shape)
        ahead, behind = (
            gap_and_gradient(model, points.point + sign * shift, points.own, points.other)[2].flatten(1)
            for sign in (1, -1)
        )
        image = ahead - behind
        images.append(image)
    form = torch.einsum("nkd,nld->nkl", held, torch.stack(images, 1))
    rows = form.flatten(1).isfinite().all(1) & (normal != 0).any(1)
    vectors = torch.linalg.eigh((form + form.mT)[rows]).eigenvectors
    chosen = torch.cat([vectors[:, :, -ends:].flip(2), vectors[:, :, :ends]], 2)
    tangents = torch.full((len(normal), 2 * ends, normal.shape[1]), torch.nan, dtype=held.dtype, device=held.device)
    tangents[rows] = torch.einsum("nke,nkd->ned", chosen, held[rows])
    return tangents.unflatten(2, shape)


def principal_at_scale(
    model: Model, points: BoundaryPoints, tangents: Tensor, *, scale: float
) -> tuple[Tensor, Tensor]:
    """Principal curvatures -2 s / t^2 within the span of orthonormal tangents, and their directions.

    Args:
        model: points (N, ...) to logits (N, K).
        points: all of them found.
        tangents: (N, k, ...).
        scale: t, pixel units.

    Returns:
        curvatures, (N, k), descending, and unit tangents, (N, k, ...). Of a boundary that is smooth at the scale they
        lie between its smallest and largest; heights of a kink do not add up as a quadratic form's do. nan rows where
        a height was not found in one of the directions.
    """
    matrix = geometric_matrix(model, points.point, points.own, points.other, points.gradient, tangents, scale=scale)
    curvatures = torch.full(tangents.shape[:2], torch.nan, dtype=tangents.dtype, device=tangents.device)
    directions = torch.full_like(tangents, torch.nan)
    rows = matrix.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(matrix[rows])
    curvatures[rows] = values.flip(1)
    directions[rows] = torch.einsum("nki,nk...->ni...", vectors.flip(2), tangents[rows])
    return curvatures, directions
