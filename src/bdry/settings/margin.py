"""`margin=`: the estimator of the distance from an image to the decision boundary."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from ..errors import ConfigError
from ..names import BOUND_METHODS
from .options import option, schema


@schema("margin", "base")
@dataclass
class Margin:
    """What every estimator has."""

    name: str = option(MISSING, "the estimator")


def refuse_own(key: str, names: list[str] | None, margin: Margin) -> None:
    """Raises `ConfigError` where the estimators listed beside `margin=`, as the config key `key` does, have it too."""
    if margin.name in (names or ()):
        raise ConfigError(key, names, f"{margin.name} measures these images already (margin=)")


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

    steps: int = option(40, "the dial from quick (6) to tight (100): steps, and with them the classes tried", ge=2)


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


@schema("margin", "ddn")
@dataclass
class DDN(Margin):
    """DDN (Rony et al. 2019, arXiv 1811.09600); l2 only."""

    steps: int = option(100, "gradient steps", ge=1)
    gamma: float = option(0.05, "the radius grows or shrinks by this share each step", gt=0, lt=1)
    init_norm: float = option(1.0, "first radius", unit="pixel units of [0, 1]", gt=0)
    loss: str = option("gap", "what descends: the logits' gap, or the paper's cross-entropy", choices=("gap", "ce"))


@schema("margin", "fmn")
@dataclass
class FMN(Margin):
    """FMN (Pintor et al. 2021, arXiv 2102.12827)."""

    steps: int = option(100, "gradient steps", ge=1)
    alpha_init: float = option(
        1.0, "l2 length of the first step; falls to a hundredth", unit="pixel units of [0, 1]", gt=0
    )
    gamma_init: float = option(0.05, "share by which the radius changes, at first", gt=0, lt=1)
    gamma_final: float = option(0.001, "share by which the radius changes, at last", gt=0, lt=1)


@schema("margin", "fab")
@dataclass
class FAB(Margin):
    """FAB (Croce and Hein 2020, arXiv 1907.02044)."""

    steps: int = option(100, "steps of each restart; a gradient of every other class each", ge=1)
    restarts: int = option(1, "starts; the first is the image, the others are random", ge=1)
    alpha_max: float = option(0.1, "largest weight of the image's own projection", ge=0, le=1)
    eta: float = option(1.05, "steps are this much longer than to the linearised boundary", ge=1)
    beta: float = option(0.9, "a point beyond is pulled back to this share of its way from the image", gt=0, le=1)
    seed: int = option(0, "seed of the random starts", ge=0)


@schema("margin", "apgd")
@dataclass
class APGD(Margin):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690) inside a search over radii."""

    search_steps: int = option(10, "radii tried", ge=1)
    steps: int = option(20, "steps of APGD at each radius", ge=1)
    loss: str = option("gap", "what descends; dlr needs three classes", choices=("gap", "dlr", "ce"))


@schema("margin", "certified")
@dataclass
class Certified(Margin):
    """A certified lower bound by interval arithmetic or CROWN (Zhang et al. 2018, arXiv 1811.00866)."""

    method: str = option(
        "crown_ibp",
        "the bounds: interval arithmetic, or CROWN with intermediate bounds from it or from CROWN (tight, slow), or "
        "the last with improved slopes",
        choices=BOUND_METHODS,
    )
    search_steps: int = option(
        11, "the certified radius is within 2^-search_steps of that where the bounds give up", ge=1, le=40
    )
    slope_steps: int = option(
        20, "of method=alpha_crown: gradient steps on the slopes of the bounds, at most", ge=0, le=10_000
    )


@schema("margin", "bracket")
@dataclass
class Bracket(Certified):
    """An upper bound by another estimator and the certified lower bound."""

    upper: str = option("deepfool", "the estimator of the upper bound, with its default settings")


@schema("margin", "milp")
@dataclass
class Milp(Margin):
    """Exact margins of small piecewise linear networks by mixed-integer programs (arXiv 1711.07356)."""

    max_nodes: int = option(20_000, "branch-and-bound nodes for each image at most", ge=1)
    gap: float = option(1e-4, "relative difference of margin and lower bound at which an image is done", gt=0, lt=1)
