"""`bdry demo`: what the whole of it looks like, on digits, in two minutes."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option


@dataclass
class DemoConfig:
    """The whole config of `bdry demo`."""

    seeds: list[int] = option([0, 1, 2], "of each, a standard and a PGD-adversarial training", ge=0)
    epochs: int = option(40, "of each training", unit="epochs", ge=1)
    overrides: list[str] = option([], "further overrides for every training, as in [arch=cnn]", may_be_empty=True)
    keep_points: int = option(
        10, "boundary points kept of so many of each split's images, for the page", unit="images", ge=1, le=256
    )
    outputs: str = option("outputs/demo", "runs, figures and the page go there")
