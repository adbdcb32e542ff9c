"""`probe=[directions]`: distances along random directions."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings.options import option, schema
from ...settings.probe import Probe


@dataclass
class DirectionsSettings:
    """Distances along random directions."""

    num_train: int = option(
        100, "training images, among those of probe=margin where it takes as many", unit="images", ge=0
    )
    num_test: int = option(100, "test images, among those of probe=margin where it takes as many", unit="images", ge=0)
    num_directions: int = option(
        5, "random unit directions (l2), the same for every image and moment", ge=1, le=1_000_000
    )
    max_distance: float = option(30.0, "how far along a ray to look; our choice", unit="pixel units of [0, 1]", gt=0)
    num_samples: int = option(
        60, "grid points on a ray; a region thinner than a cell may be missed", ge=1, le=1_000_000
    )
    batch_size: int = option(500, "rays at a time", ge=1)


@schema("probe", "directions")
@dataclass
class DirectionsProbeConfig(DirectionsSettings, Probe):
    """Distances along random directions."""
