"""scikit-learn's handwritten digits: real, 8x8, inside the installed package, hence there without a download."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .dataset import DATASETS, Dataset, Split


@DATASETS.register("digits")
def digits() -> Dataset:
    """1,797 grey 8x8 images of 10 classes; their 17 grey levels are spread over 0 ... 255.

    The set has no official split: every fifth image of each class is a test image here. An image's index is its row in
    `sklearn.datasets.load_digits`.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = (torch.from_numpy(raw.images) * (255 / 16)).round().to(torch.uint8)[:, None]
    labels = torch.from_numpy(raw.target).to(torch.int64)
    every = Split(images, labels, torch.arange(len(labels)))
    rank_in_class = F.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    is_test = rank_in_class % 5 == 0
    return Dataset("digits", every[~is_test], every[is_test], tuple(map(str, range(10))))
