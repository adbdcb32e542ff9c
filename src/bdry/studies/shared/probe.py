"""Probe `shared`: directions along which the boundary is curved at many images, and the network's reaction to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...core.measuring import logits_in_batches, measuring
from ...core.moment import Moment
from ...core.seeds import derive, generator
from ...data import Dataset, Split
from ...errors import ConfigError, UsageError
from ...geometry.boundary.hessian import EXACT, CentralDifferences, HessianMethod, port_step
from ...geometry.boundary.points import BoundaryPoints, deepfool_end, nearest_refined, short_of_boundary
from ...geometry.boundary.smoothness import PiecewiseLinearError, in_double, kinks, with_softplus
from ...geometry.boundary.spectrum import DENSE_PIXELS, USUAL_PRODUCTS, Spectrum, dense_spectrum, extreme_spectrum
from ...geometry.subspaces.bases import (
    Reach,
    leading_perturbations,
    noise_sensitivity,
    noise_subspaces,
    principal_components,
    random_basis,
    reach,
)
from ...geometry.subspaces.shared import (
    SharedDirections,
    energy_rows,
    frequency_extent,
    mean_hessian_directions,
    overlap,
    shared_curvature,
    shared_directions,
    space_extent,
)
from ...models import Classifier
from ..measured import PROBES, Context, Measured, Spent
from .settings import SharedSettings

RESAMPLES = 1000
# where S is measured, on the way to or at the boundary
POINTS = {"nearest_refined": nearest_refined, "short_of_boundary": short_of_boundary}


class _Network(NamedTuple):
    """The network whose curvature is measured, and how."""

    model: nn.Module
    method: str
    scale: float
    hessian: HessianMethod


@PROBES.register("shared")
@dataclass(frozen=True)
class SharedProbe:
    """The subspace S of a batch of training images, its curvature at unseen ones, noise in it and outside it.

    S is that of refined nearest points, in float64. Of a network with kinks, ReLU or max-pooling, it is S of the same
    weights with softplus in their place (`method`); perturbations and noise are always those of the network itself.

    Reference: arXiv 1705.09552, section 4; the controls are ours.
    """

    context: Context
    settings: SharedSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `shared_summary`, `shared_rho`, `shared_energy` and `shared_noise`; arrays `shared_dirs`.

        Without a boundary point there is `shared_summary` alone.
        """
        num_pixels = int(np.prod(dataset.image_shape))
        if self.settings.dim is not None and self.settings.dim > num_pixels:
            raise ConfigError("dim", self.settings.dim, f"images have {num_pixels} pixels")
        seed = self.context.data_seed
        train, unseen = (
            dataset.train.balanced(self.settings.num_train, seed),
            dataset.test.balanced(self.settings.num_test, seed),
        )
        double = in_double(classifier)
        with measuring(classifier), measuring(double), _in_a_line(self.settings.method):
            network = self._network(double, num_pixels)
            with measuring(network.model):
                self.context.say("boundary points of training images")
                points = POINTS[self.settings.points](network.model, train.pixels().double(), generator(0, "nearest"))
                self.context.say("their most curved directions")
                spent = Spent(self.context.share, self._work(network, num_pixels))
                spectrum = self._spectrum(network, points, num_pixels, spent)
                if spectrum.affine:
                    raise UsageError("every curvature of an affine network (arch=linear) is 0: no direction is shared")
                reached = reach(double, train.pixels().double())
                found = self._measure(
                    classifier, double, network, points, spectrum, reached, dataset, train, unseen, spent
                )
        about = {"step": moment.step, "epoch": moment.epoch}
        return Measured({name: rows.assign(**about) for name, rows in found.tables.items()}, found.arrays)

    def _measure(
        self,
        classifier: nn.Module,
        double: nn.Module,
        network: _Network,
        points: BoundaryPoints,
        spectrum: Spectrum,
        reached: Reach,
        dataset: Dataset,
        train: Split,
        unseen: Split,
        spent: Spent,
    ) -> Measured:
        seed, noisy = self.context.data_seed, dataset.test.balanced(self.settings.num_noise, self.context.data_seed)
        shared = self._shared(spectrum)
        summary = {
            "method": network.method,
            "scale": network.scale,
            "accuracy": _accuracy(network.model, noisy, self.settings.batch_size),
            "num_points": int(spectrum.directed.isfinite().all(1).sum()),
            "num_unseen": 0,
            "per_image": self.settings.num_per_image,
            "dim": 0,
            "rank": 0,
            "points": self.settings.points,
            "mean_hessian_dim": 0,
            "mean_hessian_overlap": float("nan"),
            "reach_rank": reached.rank,
            "num_gradients": reached.num_gradients,
            "confounded": reached.is_confounded,
            "typical_norm": float(noisy.pixels().flatten(1).norm(dim=1).mean()),
        }
        if shared is None:
            return Measured({"shared_summary": pd.DataFrame([summary])})
        basis = shared.basis
        self.context.say("curvature along these at unseen images")
        curved = shared_curvature(
            network.model,
            _nearest(network, unseen),
            basis,
            rng=generator(seed, "shared, rho"),
            directions=self.settings.num_directions,
            hessian=network.hessian,
            say=spent,
        )
        self.context.say("what these directions are compared with")
        perturbations = [_perturbations(double, part) for part in (train, unseen)]
        mean = mean_hessian_directions(network.model, points, dim=basis.shape[1], hessian=network.hessian, say=spent)
        bases = self._others(basis.shape[1], perturbations[0], dataset) | {"mean_hessian": mean.basis}
        self.context.say("noise")
        noise = noise_sensitivity(
            classifier,
            noisy.pixels(),
            noisy.labels,
            noise_subspaces(
                basis, bases["pca"], bases["gradient"], generator(seed, "shared, random"), reached, mean.basis
            ),
            rel_norms=self.settings.rel_norms,
            rng=generator(seed, "shared, noise"),
            batch_size=self.settings.batch_size,
        )
        rho = rho_rows(curved[curved.isfinite().all(1)], shared, seed)
        summary |= {"num_unseen": rho["num_images"].max(), "dim": basis.shape[1], "rank": shared.rank}
        summary |= {"mean_hessian_dim": mean.basis.shape[1], "mean_hessian_overlap": overlap(mean.basis, basis)}
        energies = energy_rows(perturbations[1], {"shared": basis, **bases}, sorted(self.settings.energy_dims))
        noise_table = pd.DataFrame([asdict(row) for row in noise])
        return Measured(
            {
                "shared_summary": pd.DataFrame([summary]),
                "shared_rho": rho,
                "shared_energy": pd.DataFrame([asdict(row) for row in energies]),
                "shared_noise": noise_table.rename(columns={"low": "ci_low", "high": "ci_high"}),
            },
            {"shared_dirs": self._arrays(shared, bases, points, train)},
        )

    def _network(self, double: nn.Module, num_pixels: int) -> _Network:
        method = self.settings.method
        if method == "auto":
            method = "softplus_swap" if kinks(double) else "ad"
        if method == "softplus_swap":
            return _Network(with_softplus(double, self.settings.beta), method, self.settings.beta, EXACT)
        hessian = EXACT if method == "ad" else CentralDifferences(port_step(num_pixels, self.settings.fd_step))
        return _Network(double, method, hessian.scale, hessian)

    def _work(self, network: _Network, num_pixels: int) -> int:
        """Products with the Hessians of points that a moment takes, about: nearly all of the work."""
        dim = default_dim(num_pixels) if self.settings.dim is None else self.settings.dim
        dim = min(dim, self.settings.num_train * self.settings.num_per_image)
        # the mean Hessian's leading directions take Lanczos' method some three times as many products as there are
        mean = num_pixels if num_pixels <= DENSE_PIXELS else 3 * dim
        return self.settings.num_train * (_products(network, num_pixels) + mean) + self.settings.num_test * (
            dim + self.settings.num_directions
        )

    def _spectrum(self, network: _Network, points: BoundaryPoints, num_pixels: int, spent: Spent) -> Spectrum:
        """The most curved directions of each training point; nan in rows without one."""
        z = torch.where(points.success[:, None], points.point.flatten(1), torch.nan).reshape(points.point.shape)
        other = torch.where(points.success, points.other, points.own)
        dense = _is_dense(network, num_pixels)
        each = _products(network, num_pixels)
        solve, most = (dense_spectrum, num_pixels - 1) if dense else (extreme_spectrum, (num_pixels - 2) // 2)
        directions = min(self.settings.num_per_image, most)
        return solve(
            network.model,
            z,
            points.own,
            other,
            num_directions=directions,
            hessian=network.hessian,
            say=lambda row: spent(each if row else 0),
        )

    def _shared(self, spectrum: Spectrum) -> SharedDirections | None:
        """S of the dimension asked for, or of as many as the points span; None where they span none."""
        taken, num_pixels = spectrum.directed.shape[1], spectrum.directions.shape[2:].numel()
        num_points = int(spectrum.directed.isfinite().all(1).sum())
        spanned = min(num_points * min(self.settings.num_per_image, taken), num_pixels)
        dim = min(default_dim(num_pixels) if self.settings.dim is None else self.settings.dim, spanned)
        return shared_directions(spectrum, dim=dim, per_image=self.settings.num_per_image) if dim else None

    def _others(self, dim: int, perturbations: Tensor, dataset: Dataset) -> dict[str, Tensor]:
        """What S is compared with, each of its dimension as far as there are images for it."""
        seed = self.context.data_seed
        images = dataset.train.balanced(self.settings.num_pca, seed).pixels()
        usable = int((perturbations.flatten(1).isfinite().all(1) & (perturbations.flatten(1).norm(dim=1) > 0)).sum())
        num_pixels = images.shape[1:].numel()
        return {
            "pca": principal_components(images, min(dim, len(images))).to(perturbations),
            "gradient": leading_perturbations(perturbations, min(dim, usable)),
            "random": random_basis(num_pixels, dim, generator(seed, "shared, random")).to(perturbations),
        }

    def _arrays(
        self, shared: SharedDirections, bases: dict[str, Tensor], points: BoundaryPoints, train: Split
    ) -> dict[str, np.ndarray]:
        def pictures(basis: Tensor) -> np.ndarray:
            return basis.T.reshape(basis.shape[1], *shared.image_shape).float().cpu().numpy()

        return {
            "shared": pictures(shared.basis),
            **{name: pictures(basis) for name, basis in bases.items()},
            "singular_values": shared.singular_values.cpu().numpy(),
            "contribution": shared.contribution.float().cpu().numpy(),
            "index": train.index.cpu().numpy(),
        }


def _is_dense(network: _Network, num_pixels: int) -> bool:
    """Whether all principal directions of a point are found; Lanczos' method finds those of both ends."""
    # it takes symmetry for granted, which central differences of a kinked network lack
    return num_pixels <= DENSE_PIXELS or network.method == "fd"


def _products(network: _Network, num_pixels: int) -> int:
    """Products with the Hessian that the principal directions of a point take, about."""
    return num_pixels if _is_dense(network, num_pixels) else USUAL_PRODUCTS


@contextmanager
def _in_a_line(method: str) -> Iterator[None]:
    """A user's line for a network that has no second derivatives."""
    try:
        yield
    except PiecewiseLinearError as error:
        others = "softplus_swap or fd" if method == "ad" else "fd"
        raise UsageError(f"method={method}: {error}; method={others} takes it") from error


def default_dim(num_pixels: int) -> int:
    """The paper's 200 of 3072 dimensions, the same share of `num_pixels` to one digit: 50 of 784."""
    return max(1, int(float(f"{num_pixels * 200 / 3072:.0e}")))


def rho_rows(curved: Tensor, shared: SharedDirections, seed: int) -> pd.DataFrame:
    """The rows of table `shared_rho` from rho_i at unseen images, (N, m) without nan."""
    rho = curved.double().cpu().numpy()
    draw = np.random.default_rng(derive(seed, "shared, bootstrap"))
    missing = np.full((3, rho.shape[1]), np.nan)
    (low, high, mean), (q10, q90) = missing, missing[:2]
    if len(rho):
        resampled = np.stack([rho[draw.integers(len(rho), size=len(rho))].mean(0) for _ in range(RESAMPLES)])
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        mean, (q10, q90) = rho.mean(0), np.quantile(rho, [0.1, 0.9], axis=0)
    tiles = shared.images()
    return pd.DataFrame(
        {
            "i": np.arange(1, rho.shape[1] + 1),
            "singular_value": shared.singular_values.cpu().numpy(),
            "mean_rho": mean,
            "ci_low": low,
            "ci_high": high,
            "q10": q10,
            "q90": q90,
            "num_images": len(rho),
            "space_extent": space_extent(tiles).cpu().numpy(),
            "frequency_extent": frequency_extent(tiles).cpu().numpy(),
        }
    )


def _nearest(network: _Network, split: Split) -> BoundaryPoints:
    # the generator is not drawn from
    return nearest_refined(network.model, split.pixels().double(), generator(0, "nearest"))


def _perturbations(model: nn.Module, split: Split) -> Tensor:
    """DeepFool's, (N, C, H, W); nan where it found none."""
    x = split.pixels().double()
    found = deepfool_end(model, x, generator(0, "deepfool"))
    return found.point - x


def _accuracy(model: nn.Module, split: Split, batch_size: int) -> float:
    predicted = logits_in_batches(model, split.pixels().double(), batch_size).argmax(1)
    return float((predicted == split.labels).double().mean())
