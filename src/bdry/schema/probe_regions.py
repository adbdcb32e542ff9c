"""`probe=[regions]` and `bdry regions`: paths inside classification regions, and how convex these are."""

from __future__ import annotations

from dataclasses import dataclass

from .option import option, schema
from .probe import Moments, Probe
from .run_task import RunTask

SCENARIOS = ("natural", "perturbed", "random")
WEIGHT_LAWS = ("dirichlet", "uniform")


@schema("probe", "regions")
@dataclass
class RegionsProbe(Probe):
    """Paths between points of one label (arXiv 1705.09552). Defaults: docs/papers/fawzi2017.md."""

    pairs: int = option(100, "pairs of each scenario; the paper has 1000", ge=1)
    scenarios: list[str] = option(
        list(SCENARIOS),
        "natural: two images; perturbed, random: an image and another, or noise, brought into its region",
        choices=SCENARIOS,
    )
    split: str = option("test", "whose images", choices=("train", "test"))
    images: int | None = option(
        1000, "class-balanced images that pairs and combinations are drawn from; null: all", unit="images", ge=2
    )
    spacing: float = option(1e-4, "distance between samples of a path, as a share of the pair's distance", gt=0, le=1)
    depth: int = option(16, "of the bisection at most", ge=0)
    calls: int = option(1500, "segments checked in one attempt at most", ge=1)
    retries: int = option(20, "attempts with random split points after the first; our choice", ge=0)
    projection_steps: int = option(60, "DeepFool steps that bring a point into the region, at most", ge=1)
    overshoot: float = option(0.02, "by which share such a perturbation goes beyond the boundary", ge=0)
    clipped: bool = option(False, "keep split points in the [0, 1] box; the paper's paths are in R^d")
    recheck: int = option(0, "look at the paths found again, with this many times the samples; 0: not", ge=0)
    films: int = option(4, "pairs of each scenario whose paths are kept as images, the first found", ge=0)
    film_images: int = option(9, "images along such a path, both ends included", ge=2)
    ks: list[int] = option([2, 5, 10, 20, 50], "how many images of a region are combined; [] leaves it out", ge=2)
    combinations: int = option(100, "convex combinations tried for each region and number of images", ge=1)
    weight_laws: list[str] = option(
        ["dirichlet"],
        "of the combinations: dirichlet (uniform on the simplex), uniform (1/k each)",
        choices=WEIGHT_LAWS,
    )
    batch_size: int = option(512, "points at a time", ge=1)


@dataclass
class RegionsConfig(RunTask, RegionsProbe):
    """The whole config of `bdry regions`."""

    moments: Moments | None = option(None, "not used", science=False, hidden=True)
