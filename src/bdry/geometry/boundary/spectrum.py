"""Principal curvatures of the boundary F = f_own - f_other = 0, densely or both ends by Lanczos; their summaries.

They are the eigenvalues of G = P H_F P / ||g|| (see `curvature`) on the tangent space, which gets coordinates here: a
Householder reflection takes the gradient to the first axis and leaves d - 1 others, so that no eigenvalue 0 of G, the
normal's, has to be told from those of flat directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.measuring import Model
from ...core.seeds import generator
from .hessian import EXACT, HessianMethod, LocalHessian
from .logit_gap import SIGN
from .smoothness import refuse_piecewise_linear

# the largest images whose Hessians are made densely unless asked for
DENSE_PIXELS = 1024
# products with the Hessian that Lanczos' method may take for a point: of a network whose derivatives are not symmetric
# it need never converge
MOST_PRODUCTS = 3000
# and those that it takes, about, where the time left is reckoned
USUAL_PRODUCTS = 300


@dataclass(frozen=True)
class Spectrum:
    """Principal curvatures at N points, in 1 / pixel units; nan where the point is not finite or its gradient is 0.

    method, scale: as in `HessianMethod`.
    curvatures: (N, R), descending: all d - 1 of them, or by Lanczos those of both ends.
    directions: (N, 2m, ...), unit tangents of either sign: of the m largest curvatures, largest first, then of the m
    smallest, smallest first; directed: (N, 2m), their curvatures.
    trace: (N,), the sum of all curvatures, and mean, (N,), over d - 1; nan by Lanczos.
    symmetry_defect: (N,), ||H - H^T|| / ||H|| (Frobenius) before H is symmetrised; nan by Lanczos, which cannot tell.
    gradient_norm: (N,).
    affine: F is affine: every curvature is 0 since nothing bends.
    sign: of F, which all signs depend on.
    """

    method: str
    scale: float
    curvatures: Tensor
    directions: Tensor
    directed: Tensor
    trace: Tensor
    mean: Tensor
    symmetry_defect: Tensor
    gradient_norm: Tensor
    affine: bool
    sign: str = SIGN


def dense_spectrum(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    *,
    num_directions: int = 0,
    hessian: HessianMethod = EXACT,
    say: Callable[[int], None] = lambda row: None,
) -> Spectrum:
    """All d - 1 principal curvatures at each point: d products with the Hessian, symmetrised, and `eigh`.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...), points; off the boundary it is the curvature of the level set through z.
        own: (N,) int64.
        other: (N,) int64.
        num_directions: m, principal directions kept at each end, at most d - 1; 0 is cheapest.
        hessian: of second derivatives: exact, or at a finite scale, which piecewise linear networks need.
        say: is told the number of each point before it is looked at.

    Raises:
        PiecewiseLinearError: exact derivatives of a piecewise linear network.
    """
    return _spectrum(model, z, own, other, hessian, num_directions, z.shape[1:].numel() - 1, _dense, say)


def extreme_spectrum(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    *,
    num_directions: int = 10,
    hessian: HessianMethod = EXACT,
    say: Callable[[int], None] = lambda row: None,
) -> Spectrum:
    """The m largest and m smallest principal curvatures at each point by Lanczos' method, a product at a time.

    For images of so many pixels that the dense way is too much: some hundred products a point instead of d.

    Args:
        model: points (N, ...) to logits (N, K).
        z: as in `dense_spectrum`.
        own: as in `dense_spectrum`.
        other: as in `dense_spectrum`.
        num_directions: m.
        hessian: of second derivatives: exact, or at a finite scale, which piecewise linear networks need.
        say: is told the number of each point before it is looked at.

    Raises:
        ValueError: as `dense_spectrum`; 2 m is not below d - 1. A point that has not converged after `MOST_PRODUCTS`
            is a row of nan.
    """
    if not 0 < 2 * num_directions < z.shape[1:].numel() - 1:
        most = (z.shape[1:].numel() - 2) // 2
        raise ValueError(f"num_directions={num_directions}: Lanczos takes 1 to {most} at each end for these images")
    return _spectrum(model, z, own, other, hessian, num_directions, 2 * num_directions, _lanczos, say)


class _Row(NamedTuple):
    """Of one point: curvatures, descending; tangents of both ends as rows, by tangent coordinates; H's defect."""

    curvatures: Tensor
    vectors: Tensor
    defect: float
    is_zero: bool


def _spectrum(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    hessian: HessianMethod,
    m: int,
    num_curvatures: int,
    solve: Callable[[LocalHessian, _Tangents, int], _Row],
    say: Callable[[int], None],
) -> Spectrum:
    n, d = len(z), z.shape[1:].numel()

    def missing(*shape: int) -> Tensor:
        return torch.full((n, *shape), torch.nan, dtype=z.dtype, device=z.device)

    curvatures, directions, defect, length = missing(num_curvatures), missing(2 * m, d), missing(), missing()
    is_zero = []
    for row in z.flatten(1).isfinite().all(1).nonzero()[:, 0].tolist():
        say(row)
        local = hessian(model, z[row : row + 1], int(own[row]), int(other[row]))
        length[row] = local.gradient.norm()
        if not 0 < float(length[row]) < torch.inf:
            continue
        tangents = _Tangents(local.gradient)
        found = solve(local, tangents, m)
        curvatures[row], defect[row] = found.curvatures, found.defect
        directions[row] = tangents.lift(found.vectors)
        is_zero.append(found.is_zero)
    affine = len(is_zero) > 0 and all(is_zero)
    if affine:
        finite = length.isfinite()
        refuse_piecewise_linear(model, z[finite], own[finite], other[finite])
    trace = curvatures.sum(1) if num_curvatures == d - 1 else missing()
    return Spectrum(
        method=hessian.name,
        scale=hessian.scale,
        curvatures=curvatures,
        directions=directions.reshape(n, 2 * m, *z.shape[1:]),
        directed=torch.cat([curvatures[:, :m], curvatures[:, num_curvatures - m :].flip(1)], 1),
        trace=trace,
        mean=trace / (d - 1),
        symmetry_defect=defect,
        gradient_norm=length,
        affine=affine,
    )


class _Tangents:
    """Coordinates of the tangent space of one point, by the reflection that takes the gradient to the first axis."""

    def __init__(self, gradient: Tensor) -> None:
        self.length = gradient.norm()
        mirror = gradient / self.length
        mirror[0] += 1.0 if mirror[0] >= 0 else -1.0
        self.mirror = mirror / mirror.norm()

    def lift(self, y: Tensor) -> Tensor:
        """Coordinates (m, d - 1) to tangents (m, d)."""
        return self._reflect(F.pad(y, (1, 0)))

    def lower(self, v: Tensor) -> Tensor:
        """The coordinates (m, d - 1) of the tangential part of v, (m, d)."""
        return self._reflect(v)[:, 1:]

    def _reflect(self, v: Tensor) -> Tensor:
        return v - 2 * (v @ self.mirror)[:, None] * self.mirror


def _dense(local: LocalHessian, tangents: _Tangents, m: int) -> _Row:
    d = local.gradient.numel()
    raw = local.product(torch.eye(d, dtype=local.gradient.dtype, device=local.gradient.device))
    if not bool(raw.isfinite().all()):
        return _missing(raw, d - 1, m)
    size = raw.norm()
    is_zero = float(size) == 0
    defect = 0.0 if is_zero else float((raw - raw.T).norm() / size)
    symmetric = (raw + raw.T) / 2
    form = tangents.lower(tangents.lower(symmetric).T) / tangents.length
    if m == 0:
        return _Row(torch.linalg.eigvalsh(form).flip(0), form[:0], defect, is_zero)
    curvatures, vectors = torch.linalg.eigh(form)
    return _Row(curvatures.flip(0), _both_ends(vectors.T, m), defect, is_zero)


def _lanczos(local: LocalHessian, tangents: _Tangents, m: int) -> _Row:
    # here, because it is slow to import and most commands do without
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    like = local.gradient
    size = like.numel() - 1

    def product(y: np.ndarray) -> np.ndarray:
        v = tangents.lift(torch.from_numpy(y.reshape(1, size)).to(like))
        form = tangents.lower(local.product(v)) / tangents.length
        return form[0].cpu().double().numpy()

    # the same for every point: a result does not depend on the batch
    first = torch.randn(size, generator=generator(0, "lanczos"), dtype=torch.float64).numpy()
    once = product(first)
    if not np.isfinite(once).all():
        return _missing(like, 2 * m, m)
    if not once.any():
        flat = torch.eye(size, dtype=like.dtype, device=like.device)
        return _Row(like.new_zeros(2 * m), flat[: 2 * m], torch.nan, True)
    # vectors held, as scipy has it; a restart takes those beyond the ones wanted anew
    held = min(size, max(4 * m + 1, 20))
    restarts = MOST_PRODUCTS // (held - 2 * m) + 1
    try:
        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        tol = 1e2 * torch.finfo(like.dtype).eps
        curvatures, vectors = eigsh(operator, k=2 * m, which="BE", v0=first, ncv=held, maxiter=restarts, tol=tol)
    except ArpackNoConvergence:
        return _missing(like, 2 * m, m)
    order = curvatures.argsort()
    ascending = torch.from_numpy(curvatures[order].copy()).to(like)
    return _Row(ascending.flip(0), _both_ends(torch.from_numpy(vectors.T[order].copy()).to(like), m), torch.nan, False)


def _missing(like: Tensor, num_curvatures: int, m: int) -> _Row:
    """Where products are not finite, or Lanczos' method did not converge."""
    vectors = like.new_full((2 * m, like.shape[0] - 1), torch.nan)
    return _Row(like.new_full((num_curvatures,), torch.nan), vectors, torch.nan, False)


def _both_ends(ascending: Tensor, m: int) -> Tensor:
    """Of rows in ascending order: the last m, last first, then the first m."""
    return torch.cat([ascending.flip(0)[:m], ascending[:m]])


QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class CurvatureSummary:
    """One row a point, (N,) each: the columns of `curvature_summary.csv` that a spectrum gives.

    kmax, kmin, sum_pos, sum_neg, trace, mean_kappa: in 1 / pixel units.
    frac_abs_lt_1pct, frac_abs_lt_5pct: the shares of flat directions (`flat_share`).
    sym_defect: as `Spectrum.symmetry_defect`.
    """

    kmax: Tensor
    kmin: Tensor
    sum_pos: Tensor
    sum_neg: Tensor
    trace: Tensor
    mean_kappa: Tensor
    frac_abs_lt_1pct: Tensor
    frac_abs_lt_5pct: Tensor
    sym_defect: Tensor


@dataclass(frozen=True)
class CurvatureProfile:
    """Curvatures at each rank over points: rank, (R,), 1 the largest; mean, q10, q50, q90, (R,); num_points."""

    rank: Tensor
    mean: Tensor
    q10: Tensor
    q50: Tensor
    q90: Tensor
    num_points: int


def flat_share(curvatures: Tensor, share: float) -> Tensor:
    """The share of a point's directions with |curvature| at most `share` of its largest, (N, d - 1) -> (N,).

    1 where nothing bends; nan in rows that are not finite.

    Args:
        curvatures: (N, d - 1).
        share: of the largest |curvature| of the point.
    """
    size = curvatures.abs()
    flat = (size <= share * size.amax(1, keepdim=True)).to(curvatures.dtype).mean(1)
    return torch.where(curvatures.isfinite().all(1), flat, torch.nan)


def summarise(spectrum: Spectrum) -> CurvatureSummary:
    """The rows of a dense spectrum; by Lanczos only kmax and kmin mean what they say, the others are nan.

    Args:
        spectrum: of N points.
    """
    curvatures = spectrum.curvatures
    dense = torch.where(spectrum.trace.isfinite()[:, None], curvatures, torch.nan)
    return CurvatureSummary(
        kmax=curvatures[:, 0],
        kmin=curvatures[:, -1],
        sum_pos=dense.clamp_min(0).sum(1),
        sum_neg=dense.clamp_max(0).sum(1),
        trace=spectrum.trace,
        mean_kappa=spectrum.mean,
        frac_abs_lt_1pct=flat_share(dense, 0.01),
        frac_abs_lt_5pct=flat_share(dense, 0.05),
        sym_defect=spectrum.symmetry_defect,
    )


def profile(curvatures: Tensor) -> CurvatureProfile:
    """Mean and quantiles by rank of dense spectra, (N, d - 1), descending; points with nan are left out.

    Args:
        curvatures: (N, d - 1), descending in each row.
    """
    found = curvatures[curvatures.isfinite().all(1)].double()
    rank = torch.arange(1, curvatures.shape[1] + 1, device=curvatures.device)
    if len(found) == 0:
        nothing = torch.full(rank.shape, torch.nan, dtype=torch.float64, device=rank.device)
        return CurvatureProfile(rank, nothing, nothing, nothing, nothing, 0)
    levels = torch.tensor(QUANTILES, dtype=torch.float64, device=found.device)
    q10, q50, q90 = found.quantile(levels, dim=0)
    return CurvatureProfile(rank, found.mean(0), q10, q50, q90, len(found))
