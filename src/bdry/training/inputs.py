"""What a batch is before the network sees it: augmented, and in adversarial training replaced by PGD examples.

Augmentation is tensor code on the device: a whole batch at once, each image with its own draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..attacks import pgd


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to `padding` pixels, 0 where it left room; (N, C, H, W) -> same."""
    if padding == 0:
        return images
    n, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator).to(images.device)
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    sample = torch.arange(n, device=images.device)[:, None, None]
    # indexing with the channel dimension between two index tensors puts it last
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2; (N, C, H, W) -> same."""
    flipped = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


def augment(images: Tensor, *, crop_padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crop after padding, then random flip, as configured; (N, C, H, W) -> same."""
    images = random_crop(images, crop_padding, generator)
    return random_flip(images, generator) if flip else images


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
