"""The contract of all generators of borderline instances.

    generator(classifier, images, *, seed, beta, max_attempts, **settings) -> Borderline

`classifier` is in the state that `core.measuring` makes. Every generator makes segments between a point predicted s and
one predicted t for images of class s, and bisects them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.norms import norm
from ..models import Classifier
from .components import OK, Trained
from .midpoints import STALLED, THIRD, Bisected, bisect
from .recipe import Pair


@dataclass(frozen=True)
class PairImages:
    """What a generator may use for the ordered pair (s, t).

    source, target: (N_s, ...), (N_t, ...), images of true class s and t in [0, 1].
    trained: the pair's autoencoders, None for generators without any.
    """

    pair: Pair
    source: Tensor
    target: Tensor
    trained: Trained | None = None


@dataclass(frozen=True)
class Borderline:
    """The borderline instances of one generator for one ordered pair; n segments, one row each.

    status: ok, or why there are none.
    source: (n,) int64, the image's position in `PairImages.source`.
    on_source, on_target: (n, ...), the ends of the segments, predicted s and t.
    found: what bisection made of them.
    distance: (n,), l2 between `found.point` and the source image, pixel units.
    num_correct: source images predicted s, of which each has at most one segment.
    forwards, backwards: passes spent on images, without training.
    """

    method: str
    pair: Pair
    status: str
    source: Tensor
    on_source: Tensor
    on_target: Tensor
    found: Bisected
    distance: Tensor
    num_correct: int
    forwards: int
    backwards: int

    @property
    def points(self) -> Tensor:
        """The borderline instances: the points of the successes alone, (m, ...)."""
        return self.found.point[self.found.success]

    @property
    def coverage(self) -> float:
        """Share of the correctly predicted source images that have a segment; nan where there is none of them."""
        return len(self.source) / self.num_correct if self.num_correct else float("nan")


@dataclass(frozen=True)
class Segments:
    """What a generator finds before bisection, n segments; all as in `Borderline`."""

    source: Tensor
    on_source: Tensor
    on_target: Tensor
    num_correct: int
    forwards: int
    backwards: int = 0
    status: str = OK


def refined(
    method: str, classifier: Classifier, images: PairImages, segments: Segments, *, beta: float, max_attempts: int
) -> Borderline:
    """The result of a generator that has made its segments: bisection, and the distance to the source images."""
    found = bisect(
        classifier, segments.on_source, segments.on_target, images.pair, beta=beta, max_attempts=max_attempts
    )
    return Borderline(
        method,
        images.pair,
        segments.status,
        segments.source,
        segments.on_source,
        segments.on_target,
        found,
        norm(found.point - images.source[segments.source], "l2"),
        segments.num_correct,
        segments.forwards + int(found.attempts.sum()),
        segments.backwards,
    )


def summary(borderline: Borderline) -> dict[str, float]:
    """The numbers of one row of table `generation`; nan for a mean over nothing.

    Attempts are means over the successes, the failures and all; p_gap is |p_s - p_t| and p_sum is p_s + p_t, both of
    the successes; distances to the source images are l2, of the successes.

    Args:
        borderline: what a generator made of one pair.
    """
    found, ok = borderline.found, borderline.found.success
    n, num_success = len(borderline.source), int(ok.sum())
    gap, both = (found.p_source - found.p_target).abs()[ok], (found.p_source + found.p_target)[ok]
    return {
        "num_correct": borderline.num_correct,
        "num_pairs": n,
        "coverage": borderline.coverage,
        "num_success": num_success,
        "num_third": found.count(THIRD),
        "num_stalled": found.count(STALLED),
        "success_rate": num_success / n if n else math.nan,
        "attempts_success": _mean(found.attempts[ok]),
        "attempts_failure": _mean(found.attempts[~ok]),
        "attempts": _mean(found.attempts),
        "p_gap_max": float(gap.max()) if num_success else math.nan,
        "p_gap_mean": _mean(gap),
        "p_sum_mean": _mean(both),
        "distance_mean": _mean(borderline.distance[ok]),
        "distance_median": float(borderline.distance[ok].double().quantile(0.5)) if num_success else math.nan,
        "forwards": borderline.forwards,
        "backwards": borderline.backwards,
    }


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if len(values) else math.nan


def common_sources(results: list[Borderline]) -> Tensor:
    """Positions of the source images for which every one of `results` succeeded: the honest ground for distances.

    Args:
        results: of several generators from the same source images.
    """
    sets = [set(result.source[result.found.success].tolist()) for result in results]
    return torch.tensor(sorted(set.intersection(*sets)) if sets else [], dtype=torch.int64)
