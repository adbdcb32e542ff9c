"""`probe=[detect]` and `bdry detect`: are perturbed images told from natural ones by the boundary's curvature?"""

from __future__ import annotations

from dataclasses import dataclass

from .option import check_lists, option, schema
from .probe import Moments, Probe
from .probe_curvature import FAMILIES
from .run_task import RunTask

STATISTICS = ("sample_curvature", "boundary_curvature")


@schema("probe", "detect")
@dataclass
class DetectProbe(Probe):
    """Detection of perturbed images and recovery of their labels (arXiv 1705.09552)."""

    n: int = option(200, "test images, class-balanced, each with its perturbed versions", unit="images", ge=1)
    alphas: list[float] = option([1.0, 2.0, 5.0], "what DeepFool's perturbation is scaled by", gt=0)
    overshoot: float = option(0.02, "DeepFool's, which the perturbation is longer by", ge=0)
    statistics: list[str] = option(
        list(STATISTICS), "curvature at the image itself, and at its boundary point", choices=STATISTICS
    )
    families: list[str] = option(
        list(FAMILIES), "how boundary points are chosen: the curvature's sign depends on it", choices=FAMILIES
    )
    directions: list[int] = option([10, 50], "T, random directions per image; 200 takes four times as long", ge=2)
    step: float | None = option(
        None,
        "h of second differences; null: exact derivatives, of a network with kinks sqrt(d) 10 / 512",
        unit="pixel units of [0, 1]",
        gt=0,
    )
    candidates: int | None = option(None, "sample_curvature: classes of the largest logits that count; null: all", ge=1)
    batch_size: int = option(1024, "points at a time", ge=1)

    def check_together(self) -> None:
        """Something to measure, nothing twice."""
        check_lists(self, "alphas", "statistics", "families", "directions")


@dataclass
class DetectConfig(RunTask, DetectProbe):
    """The whole config of `bdry detect`."""

    moments: Moments | None = option(None, "not used", science=False, hidden=True)

    def check_together(self) -> None:
        """As the run's and the probe's."""
        RunTask.check_together(self)
        DetectProbe.check_together(self)
