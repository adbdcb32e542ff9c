"""`probe=[detect]` and `bdry detect`: are perturbed images told from natural ones by the boundary's curvature?"""

from __future__ import annotations

from dataclasses import dataclass

from ...names import FAMILIES
from ...settings.options import option, schema
from ...settings.probe import Probe
from ...settings.run_task import RunTask

STATISTICS = ("sample_curvature", "boundary_curvature")


@dataclass
class DetectionSettings:
    """Detection of perturbed images and recovery of their labels (arXiv 1705.09552)."""

    num_images: int = option(200, "test images, class-balanced, each with its perturbed versions", unit="images", ge=1)
    alphas: list[float] = option([1.0, 2.0, 5.0], "what DeepFool's perturbation is scaled by", gt=0)
    overshoot: float = option(0.02, "DeepFool's perturbation is lengthened by this share", ge=0)
    statistics: list[str] = option(
        list(STATISTICS), "curvature at the image itself, and at its boundary point", choices=STATISTICS
    )
    families: list[str] = option(
        ["nearest_refined", "deepfool_end", "nat_segment", "random_dir"],
        "how boundary points are chosen: the curvature's sign depends on it",
        choices=FAMILIES,
    )
    num_directions: list[int] = option([10, 50], "T, random directions for each image", ge=2, le=1_000_000)
    fd_step: float | None = option(
        None,
        "step of second differences; null: exact derivatives, but sqrt(d) 10 / 512 of a network with kinks",
        unit="pixel units of [0, 1]",
        gt=0,
    )
    num_candidates: int | None = option(
        None, "sample_curvature: classes of the largest logits that count; null: all", ge=1
    )
    batch_size: int = option(1024, "points at a time", ge=1)


@schema("probe", "detect")
@dataclass
class DetectionProbeConfig(DetectionSettings, Probe):
    """Detection in training."""


@dataclass
class DetectionConfig(DetectionSettings, RunTask):
    """The whole config of `bdry detect`."""
