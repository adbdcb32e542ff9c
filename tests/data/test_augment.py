"""Augmentation in batch against the same thing image by image."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bdry.core.seeds import generator
from bdry.training.inputs import augment, random_crop, random_flip


def test_each_crop_is_a_window_of_the_padded_image_and_all_windows_occur():
    images = torch.arange(400 * 2 * 5 * 4, dtype=torch.float32).reshape(400, 2, 5, 4) + 1
    cropped = random_crop(images, 1, generator(0, "test"))
    shifts = set()
    for image, crop in zip(F.pad(images, [1] * 4), cropped, strict=True):
        windows = [(top, left) for top in range(3) for left in range(3)]
        found = [(t, left) for t, left in windows if torch.equal(image[:, t : t + 5, left : left + 4], crop)]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) == 9


def test_flips_mirror_about_half_of_the_images():
    images = torch.rand(400, 1, 3, 4, generator=generator(0, "test"))
    flipped = random_flip(images, generator(1, "test"))
    same = torch.tensor([torch.equal(a, b) for a, b in zip(images, flipped, strict=True)])
    mirrored = torch.tensor([torch.equal(a.flip(2), b) for a, b in zip(images, flipped, strict=True)])
    assert bool((same ^ mirrored).all())
    assert 140 < int(same.sum()) < 260


def test_nothing_asked_for_changes_nothing():
    images = torch.rand(4, 1, 3, 3, generator=generator(0, "test"))
    assert torch.equal(augment(images, crop_padding=0, flip=False, generator=generator(0, "test")), images)
