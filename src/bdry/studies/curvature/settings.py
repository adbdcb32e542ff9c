"""`probe=[curvature]` and `bdry curvature`: principal curvatures of the decision boundary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...names import CURVATURE_METHODS, FAMILIES, SPLITS
from ...settings.options import ESTIMATORS, option, schema
from ...settings.probe import Probe
from ...settings.run_task import RunTask


class Automatic:
    """`auto` beside the methods by name."""

    def __iter__(self) -> Iterator[str]:
        return iter(("auto", *CURVATURE_METHODS))


@dataclass
class CurvatureSettings:
    """Curvature at boundary points (arXiv 1705.09552, section 3; docs/papers/fawzi2017.md)."""

    num_images: int = option(
        100, "images, class-balanced, each with a boundary point of every family", unit="images", ge=1
    )
    split: str = option("test", "whose images", choices=SPLITS)
    families: list[str] = option(
        ["nearest_refined", "deepfool_end", "nat_segment", "random_dir"],
        "how boundary points are chosen: the sign of their curvature depends on it",
        choices=FAMILIES,
    )
    spectra: list[str] = option(
        ["nearest_refined"],
        "families whose principal curvatures are found; of the others the mean alone",
        choices=FAMILIES,
        may_be_empty=True,
    )
    methods: list[str] = option(
        ["auto"],
        "auto: exact second derivatives (ad) of smooth networks, geometric finite-scale curvature (-2s/t^2) of ReLU's",
        choices=Automatic(),
    )
    solver: str = option(
        "auto",
        "dense: all d - 1 curvatures; lanczos: both ends; auto: dense up to 1024 pixels",
        choices=("auto", "dense", "lanczos"),
    )
    num_principal: int = option(5, "principal directions at each end, of lanczos and geometric", ge=1, le=10_000)
    distances: list[float] = option(
        [0.3, 1.0, 3.0], "t of geometric curvature and of the tangent plane's sides", unit="pixel units of [0, 1]", gt=0
    )
    num_directions: int = option(50, "random tangents at each point; our choice", ge=2, le=1_000_000)
    betas: list[float] = option([10.0], "sharpness of softplus_swap; 5, 10, 30, 100 make a sweep", gt=0)
    sigmas: list[float] = option(
        [0.05], "standard deviation of smoothed's blur; our choice", unit="pixel units of [0, 1]", gt=0
    )
    num_draws: int = option(2000, "pairs of gradients, of smoothed; our choice", ge=1, le=1_000_000_000)
    fd_steps: list[float] = option(
        [10.0],
        "finite-difference steps of fd; 1, 3, 10, 30 make a sweep",
        unit="sqrt(number of pixels) / 512",
        gt=0,
    )
    estimator: str = option("walk", "margin estimator whose points nearest_refined refines", choices=ESTIMATORS)
    num_sections: int = option(3, "points of the first family whose neighbourhood is kept as planes of labels", ge=0)
    extent: float = option(2.0, "half the side of such a plane; our choice", unit="pixel units of [0, 1]", gt=0)
    resolution: int = option(61, "points along a side", ge=3, le=10_000)
    batch_size: int = option(128, "points at a time; more are slower on a CPU, whose caches they outgrow", ge=1)


@schema("probe", "curvature")
@dataclass
class CurvatureProbeConfig(CurvatureSettings, Probe):
    """Curvature in training."""


@dataclass
class CurvatureConfig(CurvatureSettings, RunTask):
    """The whole config of `bdry curvature`."""
