"""Noise inside and outside the shared curved directions (arXiv 1705.09552)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from ...core.measuring import Model, logits_in_batches
from ...core.norms import steepest
from .bases import Reach, random_basis, without


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
    are compared on the same draws. Unclipped, as in the paper. A subspace of dimension 0 has rows of nan.

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
            ends = binomtest(changed, len(x)).proportion_ci(method="wilson")
            accuracy = float((found == labels).double().mean())
            rows.append(
                NoiseRow(
                    name, subspace.dim, rel_norm, len(x), changed / len(x), float(ends.low), float(ends.high), accuracy
                )
            )
    return rows
