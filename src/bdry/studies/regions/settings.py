"""`probe=[regions]` and `bdry regions`: paths inside classification regions, and how convex these are."""

from __future__ import annotations

from dataclasses import dataclass

from ...names import SCENARIOS, SPLITS, WEIGHT_LAWS
from ...settings.options import option, schema
from ...settings.probe import Probe
from ...settings.run_task import RunTask


@dataclass
class RegionsSettings:
    """Paths between points of one label (arXiv 1705.09552, section 2; docs/papers/fawzi2017.md)."""

    num_pairs: int = option(100, "pairs of each scenario; the paper has 1000", ge=1, le=10_000_000)
    scenarios: list[str] = option(
        ["natural", "perturbed", "random"],
        "natural: two images; perturbed, random: an image and another, or noise, brought into its region",
        choices=SCENARIOS,
    )
    split: str = option("test", "whose images", choices=SPLITS)
    num_images: int | None = option(
        1000, "class-balanced images that pairs and combinations are drawn from; null: all", unit="images", ge=2
    )
    spacing: float = option(1e-4, "distance between samples of a path, as a share of the pair's distance", gt=0, le=1)
    depth: int = option(16, "how deep a path is bisected at most", ge=0, le=60)
    num_segments: int = option(1500, "segments checked in one attempt at most", ge=1)
    num_retries: int = option(20, "attempts after the first, see finder; our choice", ge=0)
    max_labels: int | None = option(
        None,
        "labels looked up for a pair, at each step of a projection too, after which no further attempt, level or finer "
        "look begins; null: no limit for images of up to 1024 pixels, else 20000; a pair that is cut off has "
        "budget_hit=1",
        ge=1,
        later=True,
    )
    projection_steps: int = option(60, "DeepFool steps that bring a point into the region, at most", ge=1)
    overshoot: float = option(0.02, "such a perturbation goes beyond the boundary by this share of its length", ge=0)
    clipped: bool = option(False, "keep split points in the [0, 1] box; the paper's paths are in R^d")
    recheck: int = option(
        0, "look again at the paths found, with this many times as many samples; 0: do not", ge=0, le=1_000_000
    )
    num_films: int = option(4, "pairs of each scenario whose paths are kept as images, the first found", ge=0)
    num_film_images: int = option(9, "images along such a path, both ends included", ge=2, le=10_000)
    ks: list[int] = option(
        [2, 5, 10, 20, 50], "how many images of a region are combined; [] leaves it out", ge=2, may_be_empty=True
    )
    num_combinations: int = option(
        100, "convex combinations tried for each region and number of images", ge=1, le=10_000_000
    )
    weight_laws: list[str] = option(
        ["dirichlet"],
        "weights of the combinations: dirichlet (uniform on the simplex), uniform (1/k each)",
        choices=WEIGHT_LAWS,
    )
    batch_size: int = option(512, "points at a time", ge=1)
    finder: str = option(
        "tree",
        "after the first attempt: tree, random splits and trees grown from both ends in turn; bisection, splits alone",
        choices=("tree", "bisection"),
    )


@schema("probe", "regions")
@dataclass
class RegionsProbeConfig(RegionsSettings, Probe):
    """Regions in training."""


@dataclass
class RegionsConfig(RegionsSettings, RunTask):
    """The whole config of `bdry regions`."""
