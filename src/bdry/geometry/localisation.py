"""How localised images are, in space and in spatial frequency: what a Gabor filter is in both.

Our measure for the claim that shared directions look like localised Gabor filters (docs/papers/fawzi2017.md, C6); the
paper shows them as pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor


def space_extent(images: Tensor) -> Tensor:
    """The effective number of pixels that each image is on, over that of Gaussian noise: (N, C, H, W) -> (N,).

    1 / sum p^2 with p the share of a pixel in the image's energy: 1 pixel ... all. About 1 for noise, below it where
    the image is localised, above it where it is even. nan for an image of zeros.
    """
    channels = images.shape[1]
    # the energy of C normal values: E[s]^2 / E[s^2] = C / (C + 2)
    return _effective_share(images.double().square().sum(1)) * (channels + 2) / channels


def frequency_extent(images: Tensor) -> Tensor:
    """The same of the spatial frequencies, by the discrete Fourier transform: (N, C, H, W) -> (N,)."""
    channels = images.shape[1]
    # the energy of C complex normal values: C / (C + 1)
    power = torch.fft.fft2(images.double()).abs().square().sum(1)
    return _effective_share(power) * (channels + 1) / channels


def _effective_share(energy: Tensor) -> Tensor:
    flat = energy.flatten(1)
    return flat.sum(1).square() / (flat.shape[1] * flat.square().sum(1))
