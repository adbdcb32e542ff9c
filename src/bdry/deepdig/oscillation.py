"""IDC: how often the predicted class changes on segments between borderline instances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model, logits_of
from ..core.norms import per_sample
from ..core.seeds import generator
from .evaluation import evaluation_batch


@dataclass(frozen=True)
class Estimate:
    """A mean over segments and its standard error, clustered by start instance; nan where it cannot be had."""

    mean: float
    error: float


@dataclass(frozen=True)
class Oscillation:
    """Label changes on the segments between borderline instances of one ordered pair.

    grid: T, points a segment.
    partners: M, segments a start instance.
    idc: as coded, flips / T.
    flips: changes of the predicted class between neighbouring grid points.
    first_step: changes on the step away from the end that lies on the boundary.
    interior: all others.
    hysteresis: changes among the grid points where |p_s - p_t| > gamma or a third class is predicted.
    undecided: share of segments without any such point; their hysteresis counts 0.
    third_class: share of grid points predicted as neither s nor t.
    """

    num_points: int
    num_starts: int
    num_segments: int
    grid: int
    partners: int
    gamma: float
    idc: Estimate
    flips: Estimate
    first_step: Estimate
    interior: Estimate
    hysteresis: Estimate
    undecided: Estimate
    third_class: Estimate


@torch.no_grad()
def oscillation(
    model: Model,
    points: Tensor,
    pair: tuple[int, int],
    *,
    seed: int,
    grid: int = 50,
    partners: int = 50,
    max_starts: int | None = None,
    gamma: float = 0.05,
) -> Oscillation:
    """IDC as coded, and what is left of it without the ends that lie on the boundary.

    From each start x_i to partners x_j, j != i, drawn without replacement, at l x_i + (1 - l) x_j for
    l = 0, 1/T, ..., (T - 1)/T: l = 1 is never visited.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        points: (N, ...), borderline instances.
        pair: (s, t).
        seed: of the partners and starts.
        grid: T.
        partners: M, or N - 1 where there are fewer.
        max_starts: starts taken, at random; None: all.
        gamma: difference of both probabilities above which a grid point is surely on its side.

    With fewer than two points all means are nan. Source: docs/papers/karimi2020.md.
    """
    n = len(points)
    partners = min(partners, max(n - 1, 0))
    rng = generator(seed, "oscillation", *pair)
    starts = torch.randperm(n, generator=rng)[:max_starts]
    if n < 2:
        starts = starts[:0]
    chosen = [torch.randperm(n - 1, generator=rng)[:partners] for _ in starts]
    # positions among all but the start itself
    ends = torch.stack(chosen) if chosen else torch.zeros((0, partners), dtype=torch.int64)
    ends = (ends + (ends >= starts[:, None])).flatten()
    begins = starts.repeat_interleave(partners)
    share = per_sample((torch.arange(grid) / grid).to(points), points)
    counts = []
    for i, j in zip(*(rows.split(max(1, evaluation_batch(points) // grid)) for rows in (begins, ends)), strict=True):
        x_i, x_j = (points[rows.to(points.device)][:, None] for rows in (i, j))
        logits = logits_of(model, (share * x_i + (1 - share) * x_j).flatten(0, 1))
        counts.append(_count(logits.unflatten(0, (len(i), grid)), pair, gamma))
    columns = torch.cat(counts) if len(begins) else torch.zeros((0, 5), dtype=torch.float64)
    flips, first, hysteresis, undecided, third = columns.unflatten(0, (len(starts), partners)).unbind(2)
    return Oscillation(
        n,
        len(starts),
        len(begins),
        grid,
        partners,
        gamma,
        idc=_estimate(flips / grid),
        flips=_estimate(flips),
        first_step=_estimate(first),
        interior=_estimate(flips - first),
        hysteresis=_estimate(hysteresis),
        undecided=_estimate(undecided),
        third_class=_estimate(third),
    )


def of_both(there: Oscillation, back: Oscillation) -> dict[str, Estimate]:
    """IDC and the other means over segments, as the mean of a pair's two directions, each of the same weight.

    The errors are those of the directions, which are clustered by start instance: no start belongs to both.
    nan where one direction has no segments.

    Args:
        there: of the pair (s, t).
        back: of the pair (t, s).

    Source: karimi2020 has one number a pair of classes; how it is made of the two directions is not known.
    """
    return {
        name: Estimate((one.mean + other.mean) / 2, math.hypot(one.error, other.error) / 2)
        for name, one in vars(there).items()
        if isinstance(one, Estimate) and isinstance(other := getattr(back, name), Estimate)
    }


def _count(logits: Tensor, pair: tuple[int, int], gamma: float) -> Tensor:
    """(n, T, K) -> (n, 5): flips, those of the first step, hysteresis flips, undecided, share of third classes."""
    s, t = pair
    label = logits.argmax(2)
    p = logits.softmax(2)
    third = (label != s) & (label != t)
    decided = third | ((p[..., s] - p[..., t]).abs() > gamma)
    changes = (label[:, 1:] != label[:, :-1]).double()
    # the last decided point at or before each grid point, -1 where there is none
    steps = torch.arange(label.shape[1], device=label.device)
    last = torch.where(decided, steps, -1).cummax(1).values[:, :-1]
    known = label.gather(1, last.clamp_min(0))
    again = decided[:, 1:] & (last >= 0) & (label[:, 1:] != known)
    return torch.stack(
        [
            changes.sum(1),
            changes[:, :1].sum(1),
            again.double().sum(1),
            (~decided.any(1)).double(),
            third.double().mean(1),
        ],
        dim=1,
    ).cpu()


def _estimate(values: Tensor) -> Estimate:
    """(starts, partners) -> the mean, and its error from the starts' means: segments of one start are alike."""
    if values.numel() == 0:
        return Estimate(math.nan, math.nan)
    means = values.mean(1)
    error = float(means.std()) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return Estimate(float(means.mean()), error)
