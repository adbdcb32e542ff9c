"""`optim=`: the optimiser and its learning-rate schedule."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .options import option, schema

SCHEDULES = ("constant", "multistep", "cosine", "onecycle")


@schema("optim", "base")
@dataclass
class Optim:
    """What every optimiser has."""

    name: str = option(MISSING, "the optimiser")
    lr: float = option(1e-3, "learning rate (the peak of a schedule)", gt=0)
    weight_decay: float = option(0.0, "weight decay, on every parameter", ge=0)
    schedule: str = option("constant", "learning rate over training", choices=SCHEDULES, passed=False)
    milestones: list[float] = option(
        [0.5, 0.75], "multistep: when the rate drops", unit="share of training", gt=0, lt=1, passed=False
    )
    gamma: float = option(0.1, "multistep: factor of each drop", gt=0, le=1, passed=False)
    warmup: float = option(0.3, "onecycle: share of training spent rising", gt=0, lt=1, passed=False)


@schema("optim", "sgd")
@dataclass
class SGD(Optim):
    """Stochastic gradient descent."""

    lr: float = option(0.1, "learning rate (the peak of a schedule)", gt=0)
    momentum: float = option(0.9, "momentum", ge=0, lt=1)
    nesterov: bool = option(False, "Nesterov momentum")


@schema("optim", "adam")
@dataclass
class Adam(Optim):
    """Adam and AdamW."""

    betas: list[float] = option(
        [0.9, 0.999], "decay of the two running averages", ge=0, lt=1, length=2, may_repeat=True
    )
