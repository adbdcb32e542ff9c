"""`margin=`: the estimator of the distance from an image to the decision boundary."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .option import option, schema


@schema("margin", "base")
@dataclass
class Margin:
    """What every estimator has."""

    name: str = option(MISSING, "the estimator")


@schema("margin", "deepfool")
@dataclass
class DeepFool(Margin):
    """DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599)."""

    steps: int = option(50, "steps at most; an image that has not crossed by then is marked a failure", ge=1)
    overshoot: float = option(0.02, "the sum of steps is lengthened by this share, once", ge=0)
    candidates: int | None = option(
        5, "classes that compete, those with the largest logits; null: all, as in the paper", ge=1
    )


@schema("margin", "walk")
@dataclass
class Walk(Margin):
    """Our own: reach the boundary, then walk along it to the nearest point."""

    steps: int = option(24, "the dial from quick (6) to tight (100): steps, and with them the classes tried", ge=2)


@schema("margin", "exact")
@dataclass
class Exact(Margin):
    """Closed form of affine classifiers."""

    tolerance: float = option(1e-4, "how far from affine is taken for rounding", unit="share of the logits", gt=0)


@schema("margin", "lattice")
@dataclass
class Lattice(Margin):
    """Brute force in two dimensions."""

    resolution: int = option(400, "lattice points along the unit square's side", ge=10)
