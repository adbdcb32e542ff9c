"""An effect with its 95 % interval, on a scale on which the interval stays in the effect's domain.

A seed stands for everything that varies from one training to the next: the subset of the data, the initialisation and
the order of the batches. Intervals are over seeds, hence none is given for fewer than FEWEST_SEEDS of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

LEVEL = 0.95
# the probability below the upper end of an interval
UPPER = (1 + LEVEL) / 2
POWER = 0.8
FEWEST_SEEDS = 5
# enough for a standard error to 5 %
RESAMPLES = 400
# a rank correlation of a few moments is exactly 1 often, which Fisher's z sends to infinity
LARGEST_CORRELATION = 0.999
# more seeds than this are never asked for
MOST_SEEDS = 1000


@functools.cache
def _t(probability: float, degrees: int) -> float:
    """Student's t quantile; each is looked up thousands of times."""
    # here, because it is slow to import and most commands do without
    from scipy.stats import t

    return float(t.ppf(probability, degrees))


@functools.cache
def _widths() -> np.ndarray:
    """Half-widths of intervals in units of the spread, for FEWEST_SEEDS seeds, one more, ... up to MOST_SEEDS."""
    from scipy.stats import t

    seeds = np.arange(FEWEST_SEEDS, MOST_SEEDS + 1)
    return np.asarray(t.ppf(UPPER, seeds - 1) / np.sqrt(seeds))


@dataclass(frozen=True)
class Scale:
    """Where the seeds' values are averaged: `to` takes values there, nan where it cannot, `back` brings one home."""

    name: str
    to: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    back: Callable[[float], float] = field(repr=False)


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log(values), math.nan)


def _exp(value: float, less: float = 0.0) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value)) - less


def _clipped(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else value


DIFFERENCE = Scale("difference", lambda values: values, lambda value: value)
RATE = Scale("rate", lambda values: values, _clipped)
# a relative change of -0.2 is a fifth less: averaged as a log ratio, never below -1
CHANGE = Scale("relative change", lambda values: _log(1 + values), lambda value: _exp(value, 1))
RATIO = Scale("ratio", _log, _exp)
CORRELATION = Scale(
    "correlation",
    lambda values: np.arctanh(np.clip(values, -LARGEST_CORRELATION, LARGEST_CORRELATION)),
    math.tanh,
)


@dataclass(frozen=True)
class Effect:
    """A value with its 95 % interval.

    over: what the interval covers, such as `6 seeds`. num_seeds: of those that have a value.
    centre, error: mean and standard error on `scale`; nan where there is no interval. trials: of a share, how many
    succeeded of how many independent ones, which need be no integers; its p-values are exact.
    """

    value: float
    low: float
    high: float
    over: str
    num_seeds: int
    scale: Scale = DIFFERENCE
    centre: float = math.nan
    error: float = math.nan
    trials: tuple[float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether value and interval are numbers."""
        return all(map(math.isfinite, (self.value, self.low, self.high)))

    def _moved(self, bound: float) -> float:
        return float(self.scale.to(np.asarray(bound, dtype=float)))

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def p_value(self, bound: float, above: bool) -> float:
        """One-sided p-value of the effect not being beyond the bound; nan where there is no interval."""
        from scipy.stats import beta, t

        if not self.known:
            return math.nan
        if self.trials is not None:
            # the tails that Clopper and Pearson's interval is made of
            won, of = self.trials
            if above:
                return float(beta.cdf(bound, won, of - won + 1)) if won > 0 else 1.0
            return float(beta.sf(bound, won + 1, of - won)) if won < of else 1.0
        distance = self.centre - self._moved(bound)
        distance = distance if above else -distance
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(t.sf(distance / self.error, self.num_seeds - 1))

    def detectable(self, bound: float, above: bool) -> float:
        """The effect nearest to the bound that as many seeds with this spread would show in 80 % of studies."""
        if not self.known:
            return math.nan
        degrees = self.num_seeds - 1
        reach = (_t(UPPER, degrees) + _t(POWER, degrees)) * self.error
        return self.scale.back(self._moved(bound) + (reach if above else -reach))

    def seeds_needed(self, bound: float) -> int | None:
        """How many seeds would part the interval from the bound at this mean and spread; None for too many."""
        if not self.known:
            return None
        distance = abs(self.centre - self._moved(bound))
        enough = _widths() * self.error * math.sqrt(self.num_seeds) < distance
        return FEWEST_SEEDS + int(enough.argmax()) if enough.any() else None


def over_seeds(values: Iterable[float], scale: Scale = DIFFERENCE) -> Effect:
    """Mean over seeds on `scale` with Student's t interval, brought back; no interval for fewer than five seeds.

    Args:
        values: one a seed; what is no number is left out and not counted.
        scale: where they are averaged.
    """
    moved = scale.to(np.asarray(list(values), dtype=float))
    moved = moved[np.isfinite(moved)]
    n = len(moved)
    over = f"{n} seed{'' if n == 1 else 's'}"
    centre = float(moved.mean()) if n else math.nan
    if n < FEWEST_SEEDS:
        return Effect(scale.back(centre) if n else math.nan, math.nan, math.nan, over, n, scale, centre)
    return _interval(centre, float(moved.std(ddof=1)) / math.sqrt(n), scale, over, n)


def _interval(centre: float, error: float, scale: Scale, over: str, n: int) -> Effect:
    width = _t(UPPER, n - 1)
    low, high = scale.back(centre - width * error), scale.back(centre + width * error)
    return Effect(scale.back(centre), low, high, over, n, scale, centre, error)


def share(counts: Sequence[tuple[int, int]], what: str) -> Effect:
    """A share of independent trials in several seeds, with the exact interval of as many as they are worth.

    Args:
        counts: (successes, trials) of each seed.
        what: of the trials, such as "pairs".

    Where shares differ between seeds by more than chance, the trials are worth fewer: Clopper and Pearson's interval is
    then that of the effective number (Korn and Graubard 1998, Survey Methodology 24).
    """
    from scipy.stats import beta, norm

    counted = [(successes, trials) for successes, trials in counts if trials > 0]
    seeds, successes = len(counted), sum(one for one, _ in counted)
    trials = sum(number for _, number in counted)
    over = f"{trials} {what} of {seeds} seed{'' if seeds == 1 else 's'}"
    value = successes / trials if trials else math.nan
    if seeds < FEWEST_SEEDS:
        return Effect(value, math.nan, math.nan, over, seeds, RATE, value)
    residuals = np.array([one - value * number for one, number in counted])
    between = seeds / (seeds - 1) * float(np.square(residuals).sum()) / trials**2
    effective = value * (1 - value) / between if between > 0 else float(trials)
    if effective < trials:
        # the spread between seeds is known with as many degrees of freedom as there are seeds less one
        effective *= (float(norm.ppf(UPPER)) / _t(UPPER, seeds - 1)) ** 2
    effective = min(effective, float(trials))
    tail, won = (1 - LEVEL) / 2, value * effective
    low = float(beta.ppf(tail, won, effective - won + 1)) if won > 0 else 0.0
    high = float(beta.ppf(1 - tail, won + 1, effective - won)) if won < effective else 1.0
    error = (high - low) / 2 / _t(UPPER, seeds - 1)
    return Effect(value, low, high, over, seeds, RATE, value, error, (won, effective))


def two_way(
    of_means: Callable[[np.ndarray], np.ndarray],
    samples: Mapping[int, pd.DataFrame],
    scale: Scale = DIFFERENCE,
    what: str = "images",
) -> Effect:
    """A statistic of the means over images in several seeds that share the images: both are resampled.

    Args:
        of_means: takes the columns' means, (..., columns), and gives the statistic, (...).
        samples: a frame for every seed, its index the image; images of which it has no number are left out there.
        scale: where the seeds' values are averaged.
        what: the rows are.

    The interval is the mean over seeds and t times the bootstrap's standard error with as many degrees of freedom as
    there are seeds less one, on `scale` (percentiles of five or six resampled seeds are too narrow). A rate that is 0
    or 1 for every image has no spread: it gets the exact interval of so many images.
    """
    frames = {seed: frame.dropna() for seed, frame in samples.items()}
    means = {seed: frame.to_numpy(float).mean(0) for seed, frame in frames.items() if len(frame)}
    values = {seed: float(_of_means(of_means, mean)) for seed, mean in means.items()}
    values = {seed: value for seed, value in values.items() if np.isfinite(scale.to(np.asarray(value)))}
    plain = over_seeds(values.values(), scale)
    if not plain.known:
        return plain
    images = pd.Index(sorted(set().union(*(frames[seed].index for seed in values))))
    over = f"{plain.over} x {len(images)} {what}"
    if scale is RATE and plain.error == 0 and plain.value in (0.0, 1.0):
        exact = share([(round(plain.value), 1)] * len(images), what)
        error = exact.half_width / _t(UPPER, plain.num_seeds - 1)
        return replace(exact, over=over, num_seeds=plain.num_seeds, error=error)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), RESAMPLES)
    moved = []
    for seed in values:
        weights = drawn[:, images.get_indexer(frames[seed].index)]
        totals = np.maximum(weights.sum(1, keepdims=True), 1)
        moved.append(scale.to(_of_means(of_means, weights @ frames[seed].to_numpy(float) / totals)))
    n = plain.num_seeds
    chosen = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)
    drawn_values = np.stack(moved, 1)
    # a resample that has no value, such as a quotient by 0
    found = (chosen * np.where(np.isfinite(drawn_values), drawn_values, plain.centre)).sum(1) / n
    spread = float(found.std(ddof=1)) * math.sqrt(n / (n - 1))
    return _interval(plain.centre, max(spread, plain.error), scale, over, n)


def first(means: np.ndarray) -> np.ndarray:
    """A statistic for `two_way`: the first column's mean."""
    return means[..., 0]


def _of_means(of_means: Callable[[np.ndarray], np.ndarray], means: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return of_means(means)
