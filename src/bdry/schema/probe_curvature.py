"""`probe=[curvature]` and `bdry curvature`: principal curvatures of the decision boundary."""

from __future__ import annotations

from dataclasses import dataclass

from .option import check_lists, option, schema
from .probe import Moments, Probe
from .run_task import RunTask

FAMILIES = ("nearest_refined", "deepfool_end", "nat_segment", "random_dir")
METHODS = ("auto", "ad", "geometric", "softplus_swap", "smoothed", "fd")
ESTIMATORS = ("walk", "deepfool", "ddn", "fmn", "fab")


@schema("probe", "curvature")
@dataclass
class CurvatureProbe(Probe):
    """Curvature at boundary points (arXiv 1705.09552). Defaults: docs/papers/fawzi2017.md."""

    points: int = option(100, "images, class-balanced, each with a boundary point of every family", unit="images", ge=1)
    split: str = option("test", "whose images", choices=("train", "test"))
    families: list[str] = option(
        list(FAMILIES), "how boundary points are chosen: the sign of their curvature depends on it", choices=FAMILIES
    )
    spectra: list[str] = option(
        ["nearest_refined"],
        "families whose principal curvatures are found; of the others the mean alone",
        choices=FAMILIES,
    )
    methods: list[str] = option(
        ["auto"],
        "auto: exact second derivatives (ad) of smooth networks, geometric finite-scale curvature (-2s/t^2) of ReLU's",
        choices=METHODS,
    )
    solver: str = option(
        "auto",
        "dense: all d - 1 curvatures; lanczos: both ends; auto: dense up to 1024 pixels",
        choices=("auto", "dense", "lanczos"),
    )
    principal: int = option(5, "principal directions at each end, of lanczos and geometric", ge=1)
    distances: list[float] = option(
        [0.3, 1.0, 3.0], "t of geometric curvature and of the tangent plane's sides", unit="pixel units of [0, 1]", gt=0
    )
    directions: int = option(50, "random tangents a point; our choice", ge=2)
    betas: list[float] = option([10.0], "of softplus_swap; worth a sweep: 5, 10, 30, 100", gt=0)
    sigmas: list[float] = option([0.05], "of smoothed, a pixel's blur; our choice", unit="pixel units of [0, 1]", gt=0)
    draws: int = option(2000, "of smoothed, pairs of gradients; our choice", ge=1)
    steps: list[float] = option([10.0], "of fd, c in h = sqrt(d) c / 512; worth a sweep: 1, 3, 10, 30", gt=0)
    estimator: str = option("walk", "whose margins nearest_refined refines", choices=ESTIMATORS)
    sections: int = option(3, "points of the first family whose neighbourhood is kept as planes of labels", ge=0)
    extent: float = option(2.0, "half the side of such a plane; our choice", unit="pixel units of [0, 1]", gt=0)
    resolution: int = option(61, "points a side", ge=3)
    batch_size: int = option(128, "points at a time; more are slower on a CPU, whose caches they outgrow", ge=1)

    def check_together(self) -> None:
        """Something to measure, nothing twice."""
        check_lists(self, "families", "methods", "distances", "betas", "sigmas", "steps")


@dataclass
class CurvatureConfig(RunTask, CurvatureProbe):
    """The whole config of `bdry curvature`."""

    moments: Moments | None = option(None, "not used", science=False, hidden=True)

    def check_together(self) -> None:
        """As the run's and the probe's."""
        RunTask.check_together(self)
        CurvatureProbe.check_together(self)
