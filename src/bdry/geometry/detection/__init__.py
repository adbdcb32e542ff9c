"""Is an image perturbed? Statistics of the boundary's curvature, and how well they tell."""

from .separation import DetectionSummary, Interval, Roc, roc, summarise
from .statistics import DetectionScores, boundary_curvature, logit_gap_scores, perturb, sample_curvature

__all__ = [
    "DetectionScores",
    "DetectionSummary",
    "Interval",
    "Roc",
    "boundary_curvature",
    "logit_gap_scores",
    "perturb",
    "roc",
    "sample_curvature",
    "summarise",
]
