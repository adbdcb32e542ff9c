"""Adversarial training: each batch is replaced by PGD examples before the gradient step (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..attacks import pgd


@dataclass(frozen=True)
class Adversary:
    """PGD's settings in training; see `attacks.pgd`. eps grows linearly from 0 over the first `warmup_epochs`."""

    norm: str
    eps: float
    step_size: float
    steps: int
    restarts: int = 1
    random_start: bool = True
    warmup_epochs: float = 0.0
    batchnorm: str = "eval"

    def perturb(self, model: nn.Module, x: Tensor, labels: Tensor, epoch: float, generator: torch.Generator) -> Tensor:
        """Adversarial examples of `x` for the batch that starts at `epoch`; the model's modes are left as they were."""
        share = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs > 0 else 1.0
        if self.eps * share == 0:
            return x
        with attacked_model(model, self.batchnorm):
            result = pgd(
                model,
                x,
                labels,
                norm=self.norm,
                eps=self.eps * share,
                step_size=self.step_size * share,
                steps=self.steps,
                restarts=self.restarts,
                random_start=self.random_start,
                generator=generator,
                last_look=self.restarts > 1,
            )
        return result.images


@contextmanager
def attacked_model(model: nn.Module, batchnorm: str) -> Iterator[None]:
    """The model in eval mode, its batch-norm layers in mode `batchnorm`; running statistics never move."""
    modes = [(module, module.training) for module in model.modules()]
    norms = [(module, module.track_running_stats) for module in model.modules() if isinstance(module, _BatchNorm)]
    model.eval()
    if batchnorm == "train":
        for layer, _ in norms:
            # without tracking, a layer in training mode normalises by the batch and updates nothing
            layer.train()
            layer.track_running_stats = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for layer, tracked in norms:
            layer.track_running_stats = tracked
