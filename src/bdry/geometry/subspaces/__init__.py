"""Directions along which the boundary is curved at many images, what they are compared with, noise in them."""

from .bases import Reach, leading_perturbations, principal_components, random_basis, reach, without
from .noise import NoiseRow, Subspace, noise_sensitivity, noise_subspaces
from .shared import (
    EnergyRow,
    MeanHessian,
    SharedDirections,
    energy,
    energy_rows,
    frequency_extent,
    mean_hessian_directions,
    overlap,
    shared_curvature,
    shared_directions,
    space_extent,
)

__all__ = [
    "EnergyRow",
    "MeanHessian",
    "NoiseRow",
    "Reach",
    "SharedDirections",
    "Subspace",
    "energy",
    "energy_rows",
    "frequency_extent",
    "leading_perturbations",
    "mean_hessian_directions",
    "noise_sensitivity",
    "noise_subspaces",
    "overlap",
    "principal_components",
    "random_basis",
    "reach",
    "shared_curvature",
    "shared_directions",
    "space_extent",
    "without",
]
