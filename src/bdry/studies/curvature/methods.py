"""How curvature is measured at boundary points: what each method of `bdry curvature` gives, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...core.seeds import generator
from ...errors import UsageError
from ...geometry.boundary.curvature import mean_curvature
from ...geometry.boundary.directions import random_tangents
from ...geometry.boundary.finite_scale import candidate_tangents, geometric_curvature, principal_at_scale
from ...geometry.boundary.hessian import EXACT, CentralDifferences, HessianMethod, Smoothed, port_step
from ...geometry.boundary.points import BoundaryPoints
from ...geometry.boundary.smoothness import with_softplus
from ...geometry.boundary.spectrum import DENSE_PIXELS, USUAL_PRODUCTS, dense_spectrum, extreme_spectrum, summarise
from ...names import CURVATURE_METHODS
from .settings import CurvatureSettings

# what is done for one point, in forward passes of it, about: the search for the point, a height over a tangent plane, a
# product with the Hessian
SEARCH, HEIGHT, PRODUCT = 1000, 9, 6
# curvatures of at most this share of the largest count as neither positive nor negative
FLAT = 0.01
# heights of at most this share of the distance along the tangent are rounding
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one family of boundary points.

    seed: of random directions. spectra: whether principal curvatures are wanted; else the mean alone. ends: principal
    directions kept at each end by the dense solver. say: is told what goes on. spend: is told of how much work is done,
    in forward passes. single: the network in float32, for looks at large images; None: they are in float64.
    """

    settings: CurvatureSettings
    seed: int
    spectra: bool
    ends: int
    say: Callable[[str], None] = lambda doing: None
    spend: Callable[[float], None] = lambda work: None
    single: nn.Module | None = None

    def looked_at(self, model: nn.Module, points: BoundaryPoints) -> tuple[nn.Module, BoundaryPoints]:
        """The network and its points as heights over tangent planes are looked up: of large images in float32.

        Many thousand looks at a large network are the bulk of the work, and convolutions in float64 take several times
        as long. A height is then known to some 1e-6 pixel units, a curvature to some 1e-6 / t^2.
        """
        if self.single is None:
            return model, points
        return self.single, points.single()

    def dense(self, num_pixels: int) -> bool:
        """Whether all curvatures are asked for."""
        solver = self.settings.solver
        return solver == "dense" or (solver == "auto" and num_pixels <= DENSE_PIXELS)

    def work(self, methods: Sequence[str], shape: Sequence[int]) -> float:
        """What one image of one family takes, about, in forward passes; planes of labels come on top."""
        settings, pixels = self.settings, math.prod(shape)
        ends = min(2 * settings.num_principal, pixels - 1)
        products = pixels if self.dense(pixels) else USUAL_PRODUCTS
        by_hessian = (products if self.spectra else settings.num_directions) * PRODUCT
        repeated = {"fd": settings.fd_steps, "smoothed": settings.sigmas, "softplus_swap": settings.betas}
        work = SEARCH + 2.0 * HEIGHT * settings.num_directions * len(settings.distances)
        for method in methods:
            if method == "geometric":
                work += 2 * HEIGHT * section_heights(ends) * len(settings.distances) if self.spectra else 0
            else:
                work += by_hessian * len(repeated.get(method, [0.0]))
        return work


def section_heights(ends: int) -> int:
    """Directions in which heights are looked up for the section of `ends` tangents."""
    return ends * (ends + 1) // 2


@dataclass(frozen=True)
class Sides:
    """Of the tangent planes of N points at distance t, columns of table `tangent_sides`, (N,) each."""

    share_own_side: Tensor
    mean_kappa: Tensor
    mean_kappa_error: Tensor
    share_found: Tensor


@dataclass(frozen=True)
class Curvatures:
    """What one method says at one scale of N boundary points, one row each.

    points: those measured. columns: of table `curvature_summary`, (N,) each. spectrum: (N, d - 1), descending, or None
    where not all curvatures are known. extremes: (N, 2, ...), unit tangents of the largest and the smallest, or None.
    """

    scale: float
    solver: str
    points: BoundaryPoints
    columns: Mapping[str, Tensor]
    spectrum: Tensor | None
    extremes: Tensor | None
    affine: bool = False


# finds a family's points of the boundary of a network
Find = Callable[[nn.Module], BoundaryPoints]


def tangent_sides(wanted: Wanted, model: nn.Module, points: BoundaryPoints, tangents: Tensor, t: float) -> Sides:
    """The boundary's sides and heights over its tangent planes at distance t, along unit tangents (N, m, ...)."""
    parts, dtype = [], tangents.dtype
    model, points = wanted.looked_at(model, points)
    tangents = tangents.to(points.point)
    for rows in torch.arange(len(points.own)).split(
        max(1, wanted.settings.batch_size // wanted.settings.num_directions)
    ):
        wanted.say(f"{points.family}: tangent planes at {t:g}, after {int(rows[0])} of {len(points.own)} points")
        part = points.take(rows)
        found = geometric_curvature(
            model,
            part.point,
            part.own,
            part.other,
            part.gradient,
            tangents[rows],
            scale=t,
            batch_size=wanted.settings.batch_size,
        )
        # a tangent plane that is the boundary, as of a piece of a piecewise linear network, is on neither side
        height = found.one_sided.abs() * t**2 / 2
        own = torch.where(height <= ROUNDING[height.dtype] * t, 0.5, found.own_side.double())
        parts.append([column.to(dtype) for column in (own.mean((1, 2)), *found.mean())])
        wanted.spend(2 * tangents.shape[1] * len(rows) * HEIGHT)
    return Sides(*(torch.cat(column) for column in zip(*parts, strict=True)))


def found_tangents(wanted: Wanted, points: BoundaryPoints, family: str) -> tuple[BoundaryPoints, Tensor]:
    """The points that were found, and random tangents there, (N, m, ...), that do not depend on what was found."""
    draw = generator(wanted.seed, f"tangents {family}")
    return points.take(points.success), random_tangents(points.gradient, wanted.settings.num_directions, draw)[
        points.success
    ]


# name -> (wanted, model, points, sides by t, find) -> one result a scale
@CURVATURE_METHODS.register("ad")
def exact(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, sides: Mapping[float, Sides], find: Find
) -> Iterator[Curvatures]:
    """Automatic second derivatives; networks with kinked activations are refused."""
    yield _by_hessian(wanted, model, points, EXACT, torch.nan)


@CURVATURE_METHODS.register("fd")
def central_differences(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, sides: Mapping[float, Sides], find: Find
) -> Iterator[Curvatures]:
    """Central differences of the gradient, with steps from sqrt(d) c / 512."""
    for c in wanted.settings.fd_steps:
        step = port_step(points.start.shape[1:].numel(), c)
        yield _by_hessian(wanted, model, points, CentralDifferences(step), step)


@CURVATURE_METHODS.register("smoothed")
def smoothed(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, sides: Mapping[float, Sides], find: Find
) -> Iterator[Curvatures]:
    """Of the logits blurred by a Gaussian, at the points of the boundary that is not blurred."""
    for sigma in wanted.settings.sigmas:
        yield _by_hessian(wanted, model, points, Smoothed(sigma, wanted.settings.num_draws, wanted.seed), sigma)


@CURVATURE_METHODS.register("softplus_swap")
def softplus_swap(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, sides: Mapping[float, Sides], find: Find
) -> Iterator[Curvatures]:
    """Of the same weights with Softplus for ReLU, at points of that network's own boundary."""
    for beta in wanted.settings.betas:
        swapped = with_softplus(model, beta)
        yield _by_hessian(wanted, swapped, find(swapped), EXACT, beta)


@CURVATURE_METHODS.register("geometric")
def geometric(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, sides: Mapping[float, Sides], find: Find
) -> Iterator[Curvatures]:
    """-2 s / t^2: the mean over random tangents, the extremes within the span of a few candidates."""
    found = points.take(points.success)
    d = found.start.shape[1:].numel()
    looking, looked_at = wanted.looked_at(model, found)
    if wanted.spectra:
        dense = wanted.dense(d)
        wanted.say(f"{points.family}: principal directions")
        tangents = candidate_tangents(model, found, ends=wanted.settings.num_principal, step=port_step(d), dense=dense)
    for t, side in sides.items():
        columns = _columns(len(found.own), d, found.point)
        columns["trace"] = side.mean_kappa * (d - 1)
        columns |= {"mean_kappa": side.mean_kappa, "mean_kappa_error": side.mean_kappa_error}
        if not wanted.spectra:
            yield Curvatures(t, "mean", points, columns, None, None)
            continue
        wanted.say(f"{points.family}: principal curvatures at {t:g}")
        curvatures, directions = (
            part.to(found.point)
            for part in principal_at_scale(looking, looked_at, tangents.to(looked_at.point), scale=t)
        )
        wanted.spend(2 * HEIGHT * section_heights(tangents.shape[1]) * len(found.own))
        columns |= {"kmax": curvatures[:, 0], "kmin": curvatures[:, -1]}
        yield Curvatures(t, "section", points, columns, None, directions[:, [0, -1]])


def _by_hessian(
    wanted: Wanted, model: nn.Module, points: BoundaryPoints, hessian: HessianMethod, scale: float
) -> Curvatures:
    found = points.take(points.success)
    z, own, other = found.point, found.own, found.other
    d = z.shape[1:].numel()
    columns = _columns(len(own), d, z)

    def say(row: int) -> None:
        wanted.say(f"{points.family}: second derivatives ({hessian.name}) after {row} of {len(own)} points")
        wanted.spend(((d if wanted.dense(d) else USUAL_PRODUCTS) if wanted.spectra else 0) * PRODUCT if row else 0)

    if wanted.spectra and wanted.dense(d):
        spectrum = dense_spectrum(model, z, own, other, num_directions=wanted.ends, hessian=hessian, say=say)
        columns |= {**vars(summarise(spectrum)), "mean_kappa_error": torch.zeros_like(spectrum.mean)}
        columns |= _counts(spectrum.curvatures)
        extremes = spectrum.directions[:, [0, wanted.ends]] if wanted.ends else None
        return Curvatures(scale, "dense", points, columns, spectrum.curvatures, extremes, spectrum.affine)
    say(0)
    draw = generator(wanted.seed, "Hutchinson")
    mean = mean_curvature(model, z, own, other, num_probes=wanted.settings.num_directions, rng=draw, hessian=hessian)
    columns |= {"trace": mean.mean * (d - 1), "mean_kappa": mean.mean, "mean_kappa_error": mean.standard_error}
    if not wanted.spectra:
        # where every product is 0 the method has made sure that F is affine
        return Curvatures(scale, "mean", points, columns, None, None, affine=not bool(mean.mean.any()))
    most = (d - 2) // 2
    if wanted.settings.num_principal > most:
        raise UsageError(
            f"num_principal={wanted.settings.num_principal}: images of {d} pixels have Lanczos' "
            f"directions for at most {most} at each "
            f"end; solver=dense finds all"
        )
    spectrum = extreme_spectrum(
        model, z, own, other, num_directions=wanted.settings.num_principal, hessian=hessian, say=say
    )
    columns |= {"kmax": spectrum.curvatures[:, 0], "kmin": spectrum.curvatures[:, -1]}
    extremes = spectrum.directions[:, [0, wanted.settings.num_principal]]
    return Curvatures(scale, "lanczos", points, columns, None, extremes, spectrum.affine)


def _counts(curvatures: Tensor) -> dict[str, Tensor]:
    """num_pos and num_neg of dense spectra, (N,) each."""
    bent = FLAT * curvatures.abs().amax(1, keepdim=True)
    unknown = ~curvatures.isfinite().all(1)
    return {
        "num_pos": (curvatures > bent).sum(1).masked_fill(unknown, -1),
        "num_neg": (curvatures < -bent).sum(1).masked_fill(unknown, -1),
    }


def _columns(n: int, d: int, like: Tensor) -> dict[str, Tensor]:
    """The summary's columns, unknown as yet."""
    names = (
        "kmax",
        "kmin",
        "sum_pos",
        "sum_neg",
        "trace",
        "mean_kappa",
        "mean_kappa_error",
        "frac_abs_lt_1pct",
        "frac_abs_lt_5pct",
        "sym_defect",
    )
    unknown = {name: torch.full((n,), torch.nan, dtype=like.dtype, device=like.device) for name in names}
    count = torch.full((n,), -1, dtype=torch.int64, device=like.device)
    return {**unknown, "num_pos": count, "num_neg": count}
