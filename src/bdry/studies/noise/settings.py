"""`probe=[noise]`: accuracy under noise."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings.options import option, schema
from ...settings.probe import Probe


@dataclass
class NoiseSettings:
    """Accuracy under noise."""

    num_train: int = option(0, "training images, class-balanced, the same at every moment", unit="images", ge=0)
    num_test: int = option(1000, "test images, class-balanced, the same at every moment", unit="images", ge=0)
    sizes: list[float] = option(
        [0.05, 0.1, 0.2, 0.3, 0.5],
        "standard deviations of a pixel's noise before clipping; 0: clean accuracy",
        unit="pixel units of [0, 1]",
        ge=0,
    )
    num_draws: int = option(1, "noises for each image", ge=1, le=1_000_000)
    batch_size: int = option(500, "images at a time", ge=1)


@schema("probe", "noise")
@dataclass
class NoiseProbeConfig(NoiseSettings, Probe):
    """Accuracy under noise."""
