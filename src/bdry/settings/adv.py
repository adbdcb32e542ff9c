"""`adv=`: standard training or adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from ..names import NORMS
from .options import option, schema


@schema("adv", "none")
@dataclass
class Adv:
    """Standard training, and what every mode has."""

    name: str = option(MISSING, "training mode")


@schema("adv", "pgd")
@dataclass
class PGD(Adv):
    """Adversarial training on projected-gradient examples (Madry et al. 2018, arXiv 1706.06083)."""

    norm: str = option("linf", "norm of the ball", choices=NORMS)
    eps: float = option(MISSING, "radius of the ball; default: the data set's", unit="pixel units of [0, 1]", ge=0)
    step_size: float = option(MISSING, "length of a step; default: the data set's", unit="pixel units of [0, 1]", gt=0)
    steps: int = option(MISSING, "steps; default: the data set's", ge=1, le=1_000_000)
    restarts: int = option(1, "random starts for each image; the highest loss is kept", ge=1, le=1_000_000)
    random_start: bool = option(True, "start at a uniform point of the ball instead of the image")
    warmup_epochs: float = option(0.0, "raise eps linearly from 0 over this time", unit="epochs", ge=0)
    batchnorm: str = option(
        "eval",
        "batch-norm during the attack: eval uses running statistics, train the batch's (running ones stay untouched)",
        choices=("eval", "train"),
    )
