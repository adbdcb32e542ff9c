"""95 % intervals: over seeds by Student's t, over the images of a single seed by the bootstrap."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LEVEL = 0.95
RESAMPLES = 500


@dataclass(frozen=True)
class Estimate:
    """A statistic's value with its 95 % interval, and what it is over: `3 seeds`, or `1 seed, 250 images`."""

    value: float
    low: float
    high: float
    over: str

    @property
    def known(self) -> bool:
        """Whether value and interval are numbers."""
        return all(map(math.isfinite, (self.value, self.low, self.high)))

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


UNKNOWN = Estimate(math.nan, math.nan, math.nan, "")


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean over seeds with Student's t interval; without one (nan) for fewer than two seeds."""
    from scipy.stats import t

    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    over = f"{n} seed{'' if n == 1 else 's'}"
    if n < 2:
        return Estimate(mean, math.nan, math.nan, over)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, over)


def estimate(statistic: Callable[..., float], *samples: Mapping[int, pd.DataFrame]) -> Estimate:
    """A statistic of images, over the seeds that all samples have.

    Args:
        statistic: takes one frame a sample, a row an image, and gives a number; nan where it cannot.
        samples: each a frame for every seed.

    With several seeds: `over_seeds` of the statistic of each. With one: percentiles over resampled images, drawn from
    a fixed seed among those of all samples, the same images in every sample that has them.
    """
    seeds = sorted(set.intersection(*(set(sample) for sample in samples)))
    values = [statistic(*(sample[seed] for sample in samples)) for seed in seeds]
    if len(values) != 1:
        return over_seeds(values)
    frames = [sample[seeds[0]] for sample in samples]
    generator = np.random.default_rng(0)
    images = functools.reduce(lambda a, b: a.union(b), (frame.index for frame in frames))
    found = []
    for _ in range(RESAMPLES):
        drawn = images[generator.integers(len(images), size=len(images))]
        resampled = [frame.loc[drawn[drawn.isin(frame.index)]] for frame in frames]
        found.append(statistic(*resampled))
    over = f"1 seed, {len(images)} images"
    if not np.isfinite(found).any():
        return Estimate(values[0], math.nan, math.nan, over)
    low, high = np.nanpercentile(found, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return Estimate(values[0], float(low), float(high), over)


def proportion(successes: int, trials: int, over: str) -> Estimate:
    """A share with its exact (Clopper-Pearson) interval."""
    from scipy.stats import binomtest

    if trials == 0:
        return Estimate(math.nan, math.nan, math.nan, over)
    interval = binomtest(successes, trials).proportion_ci(LEVEL)
    return Estimate(successes / trials, float(interval.low), float(interval.high), over)
