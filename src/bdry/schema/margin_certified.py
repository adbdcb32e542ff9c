"""`margin=certified` and `margin=bracket`: bounds from below, by interval arithmetic or CROWN."""

from __future__ import annotations

from dataclasses import dataclass

from .margin import Margin
from .option import option, schema

METHODS = ("ibp", "crown_ibp", "crown")
METHOD_HELP = "the bounds: interval arithmetic, or CROWN with intermediate bounds from it or from CROWN (tight, slow)"
STEPS_HELP = "bisections of the radius; the certified radius is within 2^-search_steps of it"


@schema("margin", "certified")
@dataclass
class Certified(Margin):
    """A certified lower bound by interval arithmetic or CROWN (Zhang et al. 2018, arXiv 1811.00866)."""

    method: str = option("crown_ibp", METHOD_HELP, choices=METHODS)
    search_steps: int = option(11, STEPS_HELP, ge=1, le=40)


@schema("margin", "bracket")
@dataclass
class Bracket(Margin):
    """An upper bound by another estimator and the certified lower bound."""

    upper: str = option("deepfool", "the estimator of the upper bound, with its default settings")
    method: str = option("crown_ibp", METHOD_HELP, choices=METHODS)
    search_steps: int = option(11, STEPS_HELP, ge=1, le=40)
