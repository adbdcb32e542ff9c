"""Is an image perturbed? Statistics of the boundary's curvature, and how well they tell."""

from .separation import DetectionSummary, Interval, Roc, auroc, roc, summarise
from .statistics import DetectionScores, boundary_curvature, logit_margin, perturb, sample_curvature

__all__ = [
    "DetectionScores",
    "DetectionSummary",
    "Interval",
    "Roc",
    "auroc",
    "boundary_curvature",
    "logit_margin",
    "perturb",
    "roc",
    "sample_curvature",
    "summarise",
]
