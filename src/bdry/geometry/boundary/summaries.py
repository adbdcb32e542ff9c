"""Summaries of principal curvatures: one row a point, and the profile over ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .points import BoundaryPoints
from .spectrum import Spectrum

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


def least_curvature_times_distance(points: BoundaryPoints, spectrum: Spectrum) -> Tensor:
    """kappa_min ||z - x||, (N,): at least -1 (-1.001 with rounding) where z is nearest to the image.

    Args:
        points: of N images.
        spectrum: of these points.
    """
    return spectrum.curvatures[:, -1] * points.distance
