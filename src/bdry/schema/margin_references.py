"""`margin=`: estimators by other hands, for independent confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from .margin import Margin
from .option import option, schema


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
