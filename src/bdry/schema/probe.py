"""`probe=[...]`: what is measured on the classifier while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .adv import NORMS
from .option import option, schema


@dataclass
class Moments:
    """When to measure. Initialisation is step 0; the end of training is always a moment."""

    steps: list[int] = option([0, 10, 30, 100, 300], "optimiser steps", ge=0)
    epochs: list[int] = option([1, 2, 3, 5, 8, 12, 20, 30, 50, 75, 100, 150, 200], "ends of epochs", ge=1)


@schema("probe", "base")
@dataclass
class Probe:
    """What every probe has."""

    name: str = option(MISSING, "the probe")
    moments: Moments | None = option(None, "when this probe measures; null: at the run's moments")


@schema("probe", "margin")
@dataclass
class MarginProbe(Probe):
    """Distances of a fixed set of images."""

    num_train: int = option(250, "training images, class-balanced, the same at every moment", unit="images", ge=0)
    num_test: int = option(250, "test images, likewise", unit="images", ge=0)
    norms: list[str] = option(["l2", "linf"], "norms to measure in", choices=NORMS)
    clipped: list[bool] = option([False], "false: distance in R^d; true: inside the [0, 1] box; both: [false,true]")
    batch_size: int = option(128, "images at a time", ge=1)


@schema("probe", "directions")
@dataclass
class DirectionsProbe(Probe):
    """Distances along random directions."""

    num_train: int = option(
        100, "training images, among those of probe=margin where it takes as many", unit="images", ge=0
    )
    num_test: int = option(100, "test images, likewise", unit="images", ge=0)
    num_directions: int = option(5, "random unit directions (l2), the same for every image and moment", ge=1)
    max_distance: float = option(30.0, "how far along a ray to look; our choice", unit="pixel units of [0, 1]", gt=0)
    samples: int = option(60, "grid points on a ray; a region thinner than a cell may be missed", ge=1)
    batch_size: int = option(500, "rays at a time", ge=1)


@schema("probe", "noise")
@dataclass
class NoiseProbe(Probe):
    """Accuracy under noise."""

    num_train: int = option(0, "training images, class-balanced, the same at every moment", unit="images", ge=0)
    num_test: int = option(1000, "test images, likewise", unit="images", ge=0)
    sizes: list[float] = option(
        [0.05, 0.1, 0.2, 0.3, 0.5],
        "standard deviations of a pixel's noise before clipping; 0: clean accuracy",
        unit="pixel units of [0, 1]",
        ge=0,
    )
    num_draws: int = option(1, "noises an image", ge=1)
    batch_size: int = option(500, "images at a time", ge=1)
