"""Augmentation as tensor code on the device: a whole batch at once, each image with its own draw."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
