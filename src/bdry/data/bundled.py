"""Real data inside the installed scikit-learn, hence there without a download: handwritten digits, Fisher's irises."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .dataset import DATASETS, Dataset, Split, whole_split


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


LARGEST_CM = 10.0


@DATASETS.register("iris")
def iris(setosa_or_not: bool) -> Dataset:
    """150 flowers as 1x1x4 float images, centimetres / 10: sepal length and width, petal length and width.

    A third of each class, drawn once, is the test split. An image's index is its row in `sklearn.datasets.load_iris`.

    Args:
        setosa_or_not: two classes, setosa (0) and the rest (1), as in the first version of the authors' code
            (docs/papers/li2018.md); False: the three species.
    """
    from sklearn.datasets import load_iris

    raw = load_iris()
    images = torch.from_numpy(raw.data / LARGEST_CM).to(torch.float32).reshape(-1, 1, 1, 4)
    labels = torch.from_numpy(raw.target).to(torch.int64)
    whole = whole_split(images, labels)
    is_test = torch.isin(whole.index, whole.balanced(len(whole) // 3, seed=0).index)
    train, test = whole[~is_test], whole[is_test]
    names = tuple(map(str, raw.target_names))
    if not setosa_or_not:
        return Dataset("iris", train, test, names)
    train, test = (Split(part.images, part.labels.clamp_max(1), part.index) for part in (train, test))
    return Dataset("iris", train, test, (names[0], f"not {names[0]}"))
