"""Extents of images whose effective numbers of pixels and frequencies are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bdry.geometry.boundary.smoothness import SMOOTH_ACTIVATIONS, WrittenOutSiLU, in_double
from bdry.geometry.subspaces.shared import frequency_extent, space_extent


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_noise_has_extent_1_in_both(channels):
    noise = torch.randn(20, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(space_extent(noise).mean()) == pytest.approx(1, abs=0.02)
    assert float(frequency_extent(noise).mean()) == pytest.approx(1, abs=0.02)


def test_a_pixel_is_local_in_space_and_an_even_image_in_frequency():
    pixel, even = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    pixel[0, 0, 2, 5] = -3
    # 1 of 64 and all of 64, over noise's share: 1/3 and 1/2
    assert [float(space_extent(image)) for image in (pixel, even)] == pytest.approx([3 / 64, 3])
    assert [float(frequency_extent(image)) for image in (pixel, even)] == pytest.approx([2, 2 / 64])


def test_a_gabor_filter_is_local_in_both():
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 28)] * 2, indexing="ij")
    filters = torch.exp(-(x**2 + y**2) / 0.08) * torch.cos(2 * math.pi * 2 * x)
    assert float(space_extent(filters[None, None])) < 0.5
    assert float(frequency_extent(filters[None, None])) < 0.5


def test_no_image_has_no_extent():
    assert bool(space_extent(torch.zeros(1, 1, 4, 4)).isnan().all())


def test_silu_written_out_is_silu_with_all_second_derivatives():
    layer = in_double(nn.Sequential(nn.Identity(), nn.Sequential(nn.SiLU())))
    assert isinstance(layer[1][0], WrittenOutSiLU) and isinstance(layer[1][0], SMOOTH_ACTIVATIONS)
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(layer[1](z), nn.SiLU()(z), rtol=1e-14, atol=1e-15)

    def slope(y):
        return torch.func.jvp(layer[1], (y,), (torch.ones_like(y),))[1]

    second = torch.func.jvp(slope, (z,), (torch.ones_like(z),))[1]
    s = z.sigmoid()
    torch.testing.assert_close(second, s * (1 - s) * (2 + z * (1 - 2 * s)))
