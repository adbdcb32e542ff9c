"""Optimisers by name, and the learning rate as a function of the step alone: nothing of it needs restoring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from ..registry import Registry

OPTIMISERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optim")


@OPTIMISERS.register("sgd")
def sgd(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float, nesterov: bool
) -> torch.optim.Optimizer:
    """torch's SGD."""
    return torch.optim.SGD(parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)


@OPTIMISERS.register("adam")
def adam(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, betas: Sequence[float]
) -> torch.optim.Optimizer:
    """torch's Adam; weight decay is added to the gradient."""
    return torch.optim.Adam(parameters, lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)


@OPTIMISERS.register("adamw")
def adamw(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, betas: Sequence[float]
) -> torch.optim.Optimizer:
    """torch's AdamW; weight decay is decoupled from the gradient."""
    return torch.optim.AdamW(parameters, lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)


def learning_rate(
    schedule: str, peak: float, done: float, *, milestones: Sequence[float], gamma: float, warmup: float
) -> float:
    """The learning rate when the share `done` of all steps, in [0, 1), is done.

    constant: `peak`. multistep: times `gamma` after each share of training in `milestones`. cosine: down to 0
    along half a cosine. onecycle: linearly up from peak / 25 over the share `warmup`, then down as cosine.
    """
    if schedule == "multistep":
        return peak * gamma ** sum(done >= milestone for milestone in milestones)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "onecycle":
        if done < warmup:
            return peak * (1 / 25 + (1 - 1 / 25) * done / warmup)
        return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
    assert schedule == "constant", schedule
    return peak
