"""Probe `directions`: how far the boundary is along random directions, to hold against the margin."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ..core.measuring import measuring
from ..core.moment import Moment
from ..core.norms import steepest
from ..core.seeds import generator
from ..data import Dataset, Split
from ..margins.rays import distances_along_rays
from ..models import Classifier
from .probe import PROBES, Context, Measured


@PROBES.register("directions")
@dataclass(frozen=True)
class DirectionsProbe:
    """Distances to the first crossing along random unit directions (l2), in R^d.

    The directions are the same for every image, moment and seed of training. Class-balanced subsets are nested,
    `split.balanced(m, seed)` in `split.balanced(n, seed)` for m <= n: where the probe `margin` takes at least as many
    images, each one here has its margin too, in the rows of the same `split` and `index`.

    Reference: ours (docs/papers/mickisch2020.md, E4 and R5); the paper's own directions are not known.
    """

    context: Context
    num_train: int
    num_test: int
    num_directions: int
    max_distance: float
    samples: int
    batch_size: int

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Table `directions`: a row an image and direction."""
        sizes = {"train": self.num_train, "test": self.num_test}
        directions = unit_directions(self.num_directions, dataset.image_shape, self.context.data_seed)
        parts = []
        with measuring(classifier):
            for name, split in dataset.splits().items():
                chosen = split.balanced(sizes[name], self.context.data_seed)
                if len(chosen):
                    parts.append(self._rows(classifier, chosen, directions).assign(split=name))
        if not parts:
            return Measured({})
        return Measured(
            {"directions": pd.concat(parts, ignore_index=True).assign(step=moment.step, epoch=moment.epoch)}
        )

    def _rows(self, classifier: Classifier, split: Split, directions: Tensor) -> pd.DataFrame:
        x = split.pixels()
        result = distances_along_rays(
            classifier,
            x,
            directions.to(x),
            max_distance=self.max_distance,
            samples=self.samples,
            batch_size=self.batch_size,
        )
        columns = {
            "index": split.index.repeat_interleave(len(directions)),
            "correct": (result.start_class == split.labels).repeat_interleave(len(directions)),
            "direction": torch.arange(len(directions)).repeat(len(split)),
            "distance": result.distance.flatten(),
            "success": result.success.flatten(),
            "boundary_class": result.boundary_class.flatten(),
        }
        return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})


def unit_directions(count: int, image_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Directions uniform on the unit sphere (l2), (count, C, H, W); the k-th is a function of (seed, k) alone."""
    drawn = [torch.randn(image_shape, generator=generator(seed, "direction", k)) for k in range(count)]
    return steepest(torch.stack(drawn), "l2")
