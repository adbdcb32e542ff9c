"""`dataset=stripes`: which way do the stripes run?"""

import numpy as np
import torch

from bdry.data import DATASETS, Dataset, Split

SIDE = 6


@DATASETS.register("stripes")
def stripes(num_images: int, noise: float, seed: int) -> Dataset:
    """Grey 6x6 images of horizontal (class 0) or vertical (class 1) stripes, at random phase, under Gaussian noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % 2
    bright = (np.arange(SIDE)[None] + rng.integers(0, 2, (num_images, 1))) % 2
    rows = np.broadcast_to(bright[:, :, None], (num_images, SIDE, SIDE))
    pattern = np.where(labels[:, None, None] == 0, rows, rows.transpose(0, 2, 1))
    pixels = 0.25 + 0.5 * pattern + noise * rng.standard_normal(pattern.shape)
    images = torch.from_numpy(np.clip(np.rint(255 * pixels), 0, 255).astype(np.uint8))[:, None]
    every = Split(images, torch.from_numpy(labels), torch.arange(num_images))
    # classes alternate, so pairs of images keep both splits balanced
    is_test = every.index // 2 % 3 == 2
    return Dataset("stripes", every[~is_test], every[is_test], ("horizontal", "vertical"))
