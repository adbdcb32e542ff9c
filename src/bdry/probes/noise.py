"""Probe `noise`: how accuracy falls under random noise of growing size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ..core.measuring import Model, measuring
from ..core.moment import Moment
from ..core.seeds import generator
from ..data import Dataset, Split
from ..models import Classifier
from .probe import PROBES, Context, Measured


def _gaussian(shape: torch.Size, draw: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=draw)


def _uniform(shape: torch.Size, draw: torch.Generator) -> Tensor:
    return math.sqrt(3) * (2 * torch.rand(shape, generator=draw) - 1)


# noise of mean 0 and standard deviation 1, independent for each pixel
KINDS: dict[str, Callable[[torch.Size, torch.Generator], Tensor]] = {"gaussian": _gaussian, "uniform": _uniform}


@PROBES.register("noise")
@dataclass(frozen=True)
class NoiseProbe:
    """Accuracy on class-balanced subsets of the splits under noise of both kinds, clipped to the [0, 1] box.

    `sizes` are standard deviations of a pixel before clipping; uniform noise reaches to sqrt(3) times that. The noise
    of an image is a function of the data set's seed, the kind, the position in `sizes`, the draw and the image alone:
    it is the same at every moment and for every seed of training, so that the classifier alone tells curves apart.

    Reference: the fifth question of docs/papers/mickisch2020.md; kinds and sizes are our choice.
    """

    context: Context
    num_train: int
    num_test: int
    sizes: Sequence[float]
    num_draws: int
    batch_size: int

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Table `noise`: a row a split, kind and size."""
        num_images = {"train": self.num_train, "test": self.num_test}
        rows = []
        with measuring(classifier):
            for name, split in dataset.splits().items():
                chosen = split.balanced(num_images[name], self.context.data_seed)
                if not len(chosen):
                    continue
                for kind, (number, size) in itertools.product(KINDS, enumerate(self.sizes)):
                    batches = itertools.product(chosen.batches(self.batch_size), range(self.num_draws))
                    num_right = sum(
                        _num_right(classifier, batch, size * self._noise(batch, name, kind, number, draw))
                        for batch, draw in batches
                    )
                    row = {"split": name, "noise": kind, "size": size, "num_images": len(chosen)}
                    accuracy = num_right / (len(chosen) * self.num_draws)
                    rows.append({**row, "num_draws": self.num_draws, "accuracy": accuracy})
        return Measured({"noise": pd.DataFrame(rows).assign(step=moment.step, epoch=moment.epoch)} if rows else {})

    def _noise(self, batch: Split, split: str, kind: str, number: int, draw: int) -> Tensor:
        """Noise of standard deviation 1 for each image, (N, C, H, W), whatever else is in the batch."""
        seed, shape = self.context.data_seed, batch.images.shape[1:]
        streams = [generator(seed, f"{kind} noise, {split}", number, draw, index) for index in batch.index.tolist()]
        return torch.stack([KINDS[kind](shape, stream) for stream in streams]).to(batch.images.device)


@torch.no_grad()
def _num_right(model: Model, batch: Split, noise: Tensor) -> int:
    return int((model((batch.pixels() + noise).clamp(0, 1)).argmax(1) == batch.labels).sum())
