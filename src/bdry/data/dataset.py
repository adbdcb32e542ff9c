"""The noun Dataset: two splits of images, checked when they are made; subsets of them, restriction to some classes.

Images are uint8 (0 ... 255), or float in [0, 1]; nothing else passes. `pixels()` gives either as float32 in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.seeds import generator
from ..errors import ConfigError, DataError
from ..names import is_text
from ..registry import Registry

FLOATS = (torch.float32, torch.float64, torch.float16)
IMAGES_ARE = "images are uint8 (0 to 255), or float in [0, 1]"


@dataclass(frozen=True)
class Split:
    """Images of one split, all on one device.

    images: uint8, or float in [0, 1], (N, C, H, W). labels: int64, (N,), 0 ... K-1. index: int64, (N,), each image's
    position in the data set's official split: tables refer to images by it.

    Raises `DataError` for what is no plain tensor, and for another type, shape or length. The values are checked by
    `Dataset`, once.
    """

    images: Tensor
    labels: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        images, labels, index = self.images, self.labels, self.index
        if not all(isinstance(values, Tensor) and values.device.type != "meta" for values in (images, labels, index)):
            raise DataError("images, labels and index must be torch.Tensor, as torch.as_tensor gives")
        if images.requires_grad or images.layout != torch.strided:
            raise DataError("images that are sparse or have gradients: wanted are plain ones, as images.detach() gives")
        if images.dtype != torch.uint8 and images.dtype not in FLOATS:
            raise DataError(f"images of type {_short(images.dtype)}: {IMAGES_ARE}")
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise DataError(f"images of shape {tuple(images.shape)}: wanted is (N, channels, height, width)")
        for name, values in (("labels", labels), ("index", index)):
            if values.dtype != torch.int64:
                raise DataError(f"{name} of type {_short(values.dtype)}: wanted is int64, as .to(torch.int64) gives")
            if values.shape != images.shape[:1]:
                raise DataError(f"{name} of shape {tuple(values.shape)} for {len(images)} images: one for each, (N,)")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> Split:
        return Split(self.images[rows], self.labels[rows], self.index[rows])

    def pixels(self) -> Tensor:
        """The images as float32 in [0, 1], (N, C, H, W)."""
        return self.images.float() / 255 if self.images.dtype == torch.uint8 else self.images.float()

    def batches(self, batch_size: int) -> Iterator[Split]:
        """The split in its order.

        Args:
            batch_size: images at a time; the last batch may have fewer.
        """
        for start in range(0, len(self), batch_size):
            yield self[start : start + batch_size]

    def to(self, device: torch.device) -> Split:
        """The split on another device.

        Args:
            device: where the tensors go.
        """
        return Split(self.images.to(device), self.labels.to(device), self.index.to(device))

    def balanced(self, size: int, seed: int) -> Split:
        """A class-balanced random subset of at most `size` images, in the order of their index.

        Each class gives the same number, one more or less where `size` is not a multiple; a class with too few
        gives all it has and the others make up for it.

        Args:
            size: images at most.
            seed: of the choice; the choice of fewer images is within that of more.
        """
        if size >= len(self):
            return self
        order, rank = self.shuffled(seed)
        # the n-th image of its class in random order comes before every (n+1)-th of any class
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)
        chosen = (rank * len(order) + position).argsort()[:size]
        return self[chosen[self.index[chosen].argsort()]]

    def shuffled(self, seed: int) -> tuple[Tensor, Tensor]:
        """The images in random order, and each image's place among its class in that order; (N,) int64 both.

        Args:
            seed: of the order.
        """
        order = torch.randperm(len(self), generator=generator(seed, "subset")).to(self.labels.device)
        rank = torch.empty_like(order)
        for label in self.labels.unique():
            members = order[self.labels[order] == label]
            rank[members] = torch.arange(len(members), device=order.device)
        return order, rank


@dataclass(frozen=True)
class Dataset:
    """A data set's train and test split and the names of its classes.

    Raises `DataError` where there are fewer than two classes, or two of one name or one without a name, a split's
    pixels are outside [0, 1] or uint8 of 0 and 1 alone, its labels outside 0 ... K-1, its index negative or twice the
    same, or the splits' images differ in shape or type. A split may be empty: measuring needs one of them alone.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise DataError(
                f"{self.name}: {', '.join(self.class_names) or 'nothing'} is its only class: a boundary needs two"
            )
        for number, name in enumerate(self.class_names):
            if not isinstance(name, str) or not name or not is_text(name) or name in self.class_names[:number]:
                raise DataError(f"{self.name}: class {number} is called {name!r}: wanted is a name of its own for each")
        for name, split in self.splits().items():
            if len(split) == 0:
                continue
            lowest, highest = int(split.labels.min()), int(split.labels.max())
            if lowest < 0 or highest >= self.num_classes:
                raise DataError(
                    f"{self.name}: {name} labels from {lowest} to {highest}, but there are {self.num_classes} "
                    f"classes: labels are 0 to {self.num_classes - 1}"
                )
            if len(split.index.unique()) < len(split) or int(split.index.min()) < 0:
                raise DataError(f"{self.name}: {name} index must be from 0 on and name no image twice")
            if split.images.dtype == torch.uint8:
                # masks, or floats that were cast: their margins would be 255 times too small
                if int(split.images.max()) == 1:
                    raise DataError(f"{self.name}: {name} pixels are uint8 from 0 to 1: {IMAGES_ARE}")
            else:
                # not finite numbers fail both comparisons
                smallest, largest = (float(value) for value in split.images.aminmax())
                if not (smallest >= 0 and largest <= 1):
                    raise DataError(f"{self.name}: {name} pixels from {smallest:.9g} to {largest:.9g}: {IMAGES_ARE}")
        train, test = self.train.images, self.test.images
        if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
            kinds = (f"{tuple(part.shape[1:])} {_short(part.dtype)}" for part in (train, test))
            raise DataError(f"{self.name}: the splits' images differ, {' and '.join(kinds)}: wanted is one for both")

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def splits(self) -> dict[str, Split]:
        """Both splits by name."""
        return {"train": self.train, "test": self.test}

    def to(self, device: torch.device) -> Dataset:
        """The data set on another device.

        Args:
            device: where the tensors go.
        """
        return replace(self, train=self.train.to(device), test=self.test.to(device))

    def restricted(self, classes: list[int]) -> Dataset:
        """Only the images of some classes, relabelled 0, 1, ... in their order.

        Args:
            classes: labels, none twice.

        Raises:
            ConfigError: there is no such class.
        """
        for label in classes:
            if label >= self.num_classes:
                raise ConfigError(
                    "dataset.classes", classes, f"{self.name} has the classes 0 to {self.num_classes - 1}"
                )
        return replace(
            self,
            train=_restrict(self.train, classes, self.num_classes),
            test=_restrict(self.test, classes, self.num_classes),
            class_names=tuple(self.class_names[label] for label in classes),
        )

    def subset(self, num_train: int | None, num_test: int | None, seed: int) -> Dataset:
        """Class-balanced subsets of the splits.

        Args:
            num_train: training images; None: all.
            num_test: test images; None: all.
            seed: as in `Split.balanced`.

        Raises:
            ConfigError: more images than there are, or fewer than classes.
        """
        sizes = {"train": num_train, "test": num_test}
        chosen = {}
        for split, images in self.splits().items():
            size = sizes[split]
            if size is not None and size > len(images):
                raise ConfigError(f"dataset.num_{split}", size, f"{self.name} has {len(images)} {split} images")
            if size is not None and size < self.num_classes:
                raise ConfigError(
                    f"dataset.num_{split}",
                    size,
                    f"must be at least the number of classes, {self.num_classes}",
                )
            chosen[split] = images if size is None else images.balanced(size, seed)
        return replace(self, train=chosen["train"], test=chosen["test"])

    def first(self, num_images: int) -> Dataset:
        """The first images of each split by their index, whatever their classes.

        Args:
            num_images: of each split; all where there are fewer.
        """
        parts = {name: split[split.index.argsort()[:num_images]] for name, split in self.splits().items()}
        return replace(self, train=parts["train"], test=parts["test"])

    def at(self, train_indices: list[int] | None, test_indices: list[int] | None) -> Dataset:
        """The images of these indices, in this order.

        Args:
            train_indices: of the training split; None: all of it.
            test_indices: of the test split; None: all of it.

        Raises:
            ConfigError: there is no such index.
        """
        wanted = {"train": train_indices, "test": test_indices}
        parts = {
            name: split if wanted[name] is None else _at(split, name, wanted[name] or [], self.name)
            for name, split in self.splits().items()
        }
        return replace(self, train=parts["train"], test=parts["test"])

    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over the training split, in pixel units of [0, 1].

        Of uint8 images computed in whole numbers, of others by numpy, which uses one thread: the same on every device
        and with any number of threads.
        """
        means, deviations = [], []
        if self.train.images.dtype != torch.uint8:
            for values in self.train.images.cpu().double().numpy().swapaxes(0, 1):
                means.append(float(np.mean(values)))
                deviations.append(max(float(np.std(values)), 1e-6))
            return means, deviations
        for channel in self.train.images.unbind(1):
            counts = torch.bincount(channel.reshape(-1).to(torch.int64), minlength=256).tolist()
            total = sum(counts)
            first = sum(value * count for value, count in enumerate(counts))
            second = sum(value * value * count for value, count in enumerate(counts))
            means.append(first / total / 255)
            deviations.append(max((second * total - first * first) ** 0.5 / total / 255, 1e-6))
        return means, deviations

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each split's images, labels and index, for provenance."""
        return {name: _digest(split) for name, split in self.splits().items()}


def _restrict(split: Split, classes: list[int], num_classes: int) -> Split:
    new_label = torch.full((num_classes,), -1, dtype=torch.int64)
    for new, old in enumerate(classes):
        new_label[old] = new
    labels = new_label.to(split.labels.device)[split.labels]
    kept = labels >= 0
    return Split(split.images[kept], labels[kept], split.index[kept])


def _at(split: Split, name: str, indices: list[int], dataset: str) -> Split:
    row_of = {index: row for row, index in enumerate(split.index.tolist())}
    for index in indices:
        if index not in row_of:
            raise ConfigError(f"dataset.{name}_indices", indices, f"{dataset} has no {name} image {index}")
    return split[torch.tensor([row_of[index] for index in indices], device=split.index.device)]


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _digest(split: Split) -> str:
    digest = hashlib.sha256()
    for tensor in (split.images, split.labels, split.index):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# name -> function of the option's own settings that gives the whole data set, on the CPU
DATASETS: Registry[Callable[..., Dataset]] = Registry("dataset")


def whole_split(images: Tensor, labels: Tensor) -> Split:
    """An official split: every image, indexed by position. Images of shape (N, H, W) get one channel."""
    images = images if images.ndim == 4 else images[:, None]
    return Split(images.contiguous(), labels.to(torch.int64), torch.arange(len(labels)))


def divided(whole: Split, test_fraction: float, seed: int) -> tuple[Split, Split]:
    """Train and test split of a set that has none: a share of every class is for testing.

    At least one image of a class, and never all: the image of a class of one is trained on.
    """
    counts = whole.labels.bincount()
    for_testing = torch.minimum((test_fraction * counts).round().clamp_min(1).long(), counts - 1)
    is_test = whole.shuffled(seed)[1] < for_testing[whole.labels]
    return whole[~is_test], whole[is_test]
