"""The boundary between two classes: points on it, its curvature, spectra, sections and heights."""

from ...names import FAMILIES
from .curvature import MeanCurvature, mean_curvature, tangent_forms
from .directions import random_directions, random_tangents, tangent
from .finite_scale import FiniteScale, candidate_tangents, geometric_curvature, geometric_matrix, principal_at_scale
from .hessian import EXACT, CentralDifferences, Exact, HessianMethod, LocalHessian, Smoothed, port_step
from .logit_gap import gap_and_gradient, pair_gap, same_pair
from .points import (
    BoundaryPoints,
    Refined,
    deepfool_end,
    nat_segment,
    nearest_refined,
    random_dir,
    short_of_boundary,
    to_boundary,
    to_nearest,
)
from .sections import Sections, curvature_sections, label_sections
from .smoothness import PiecewiseLinearError, in_double, kinks, piecewise_linear_layers, with_softplus
from .spectrum import (
    CurvatureProfile,
    CurvatureSummary,
    Spectrum,
    dense_spectrum,
    extreme_spectrum,
    flat_share,
    profile,
    summarise,
)

__all__ = [
    "EXACT",
    "FAMILIES",
    "BoundaryPoints",
    "CentralDifferences",
    "CurvatureProfile",
    "CurvatureSummary",
    "Exact",
    "FiniteScale",
    "HessianMethod",
    "LocalHessian",
    "MeanCurvature",
    "PiecewiseLinearError",
    "Refined",
    "Sections",
    "Smoothed",
    "Spectrum",
    "candidate_tangents",
    "curvature_sections",
    "deepfool_end",
    "dense_spectrum",
    "extreme_spectrum",
    "flat_share",
    "gap_and_gradient",
    "geometric_curvature",
    "geometric_matrix",
    "in_double",
    "kinks",
    "label_sections",
    "mean_curvature",
    "nat_segment",
    "nearest_refined",
    "pair_gap",
    "piecewise_linear_layers",
    "port_step",
    "principal_at_scale",
    "profile",
    "random_dir",
    "random_directions",
    "random_tangents",
    "same_pair",
    "short_of_boundary",
    "summarise",
    "tangent",
    "tangent_forms",
    "to_boundary",
    "to_nearest",
    "with_softplus",
]
