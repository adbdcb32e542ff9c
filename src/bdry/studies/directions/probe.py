"""Probe `directions`: how far the boundary is along random directions, to hold against the margin."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ...core.measuring import measuring
from ...core.moment import Moment
from ...core.norms import steepest
from ...core.seeds import generator
from ...data import Dataset, Split
from ...margins.rays import distances_along_rays
from ...models import Classifier
from ..measured import PROBES, Context, Measured
from .settings import DirectionsSettings


@PROBES.register("directions")
@dataclass(frozen=True)
class DirectionsProbe:
    """Distances to the first crossing along random unit directions (l2), in R^d.

    The directions are the same for every image, moment and seed of training. Class-balanced subsets are nested,
    `split.balanced(m, seed)` in `split.balanced(n, seed)` for m <= n: where the probe `margin` takes at least as many
    images, each one here has its margin too, in the rows of the same `split` and `index`.

    The paper's own directions are not known (docs/papers/mickisch2020.md).
    """

    context: Context
    settings: DirectionsSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Table `directions`: a row an image and direction."""
        settings = self.settings
        sizes = {"train": settings.num_train, "test": settings.num_test}
        directions = numbered_directions(settings.num_directions, dataset.image_shape, self.context.data_seed)
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
            max_distance=self.settings.max_distance,
            samples=self.settings.num_samples,
            batch_size=self.settings.batch_size,
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


def numbered_directions(count: int, image_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Directions uniform on the unit sphere (l2), (count, C, H, W), the same for every image.

    The k-th is a function of (seed, k) alone, so that more directions leave the first ones as they were. Those of
    `geometry.boundary.random_directions` are drawn for each image from one generator.
    """
    drawn = [torch.randn(image_shape, generator=generator(seed, "direction", k)) for k in range(count)]
    return steepest(torch.stack(drawn), "l2")
