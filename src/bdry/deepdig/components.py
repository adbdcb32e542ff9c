"""DeepDIG's components I and II for many pairs: train, look for collapse, restart, keep what changed its class."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..core.norms import norm
from ..models import Classifier
from .autoencoders import Autoencoder, Layer
from .evaluation import predict
from .recipe import Pair, Recipe, checked_pairs
from .spread import spread
from .training import Job, Log, train_stack

# what a stage can end in
OK, NO_IMAGES, COLLAPSED, NOTHING_KEPT = "ok", "no images", "collapsed", "nothing kept"


@dataclass(frozen=True)
class Stage:
    """One trained autoencoder of one pair: stage 1 (s to t) or 2 (t back to s).

    status: ok, no images (nothing to train on), collapsed (after all restarts) or nothing kept.
    autoencoder: the last one trained, None without images.
    log: its loss terms apart.
    num_images: trained on.
    num_kept: of these, those that it takes from the class they should be predicted as to the
    class wanted. collapse_ratio: spread_out / spread_in, nan for fewer than two images.
    median_distance: between images and outputs, l2, pixel units.
    seconds: its share of the stack's training.
    """

    pair: Pair
    stage: int
    status: str
    autoencoder: Autoencoder | None
    log: Log
    num_images: int
    num_kept: int
    spread_in: float
    spread_out: float
    median_distance: float
    restarts: int
    seconds: float

    @property
    def collapse_ratio(self) -> float:
        """Spread of the outputs over spread of the inputs."""
        return self.spread_out / self.spread_in if self.spread_in > 0 else float("nan")

    @property
    def ok(self) -> bool:
        """Whether its outputs may be used."""
        return self.status == OK


@dataclass(frozen=True)
class Trained:
    """Both autoencoders of an ordered pair; the second is None where the first's status is not ok."""

    pair: Pair
    first: Stage
    second: Stage | None

    @property
    def status(self) -> str:
        """ok, or the first stage that failed and why: "stage 1: collapsed"."""
        for stage in (self.first, self.second):
            if stage is not None and not stage.ok:
                return f"stage {stage.stage}: {stage.status}"
        return OK


@dataclass(frozen=True)
class Passed:
    """Images through an autoencoder: output, (N, ...), and kept, (N,) bool: predicted `before`, then `after`."""

    output: Tensor
    kept: Tensor


def pass_through(classifier: Classifier, autoencoder: Autoencoder, x: Tensor, before: int, after: int) -> Passed:
    """Which images, (N, C, H, W), of predicted class `before` the autoencoder gives the predicted class `after`.

    Args:
        classifier: in the state that `core.measuring` makes.
        autoencoder: for these images.
        x: (N, C, H, W) in [0, 1].
        before: the class that an image has to be predicted.
        after: the class that the autoencoder's output has to be predicted.
    """
    output = autoencoder(x)
    kept = (predict(classifier, x) == before) & (predict(classifier, output) == after)
    return Passed(output, kept)


def train_pairs(
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    pairs: Sequence[Sequence[int]],
    recipe: Recipe,
    *,
    seed: int,
    told: Callable[[int, int, int], None] = lambda pairs, stage, step: None,
) -> Iterator[Trained]:
    """Both autoencoders of every ordered pair, in the order of `pairs`, a stack of pairs at a time.

    Stage I trains on all images of true class s, stage II on those outputs of stage I that are predicted t though
    their images are predicted s. A pair's result does not depend on the other pairs, but for rounding.

    Args:
        classifier: in the state that `core.measuring` makes.
        x: (N, C, H, W), training images in [0, 1].
        labels: (N,).
        pairs: (source, target) each.
        recipe: how they are trained.
        seed: of the initial weights and the batches, by pair and stage.
        told: how many pairs are being trained, the stage and the number of each step before it is made.

    Raises:
        ValueError: a pair is not two different classes, or the autoencoder does not fit the images.

    Source: docs/papers/karimi2020.md.
    """
    chosen = checked_pairs(pairs, classifier.head.out_features)
    channels, height, width = x.shape[1:]
    layers = recipe.layers((channels, height, width))
    size = recipe.stack_size(x[0].numel() * x.element_size(), x.device.type)
    return (
        trained
        for start in range(0, len(chosen), size)
        for trained in _train_together(classifier, x, labels, chosen[start : start + size], layers, recipe, seed, told)
    )


def _train_together(
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    pairs: Sequence[Pair],
    layers: Sequence[Layer],
    recipe: Recipe,
    seed: int,
    told: Callable[[int, int, int], None],
) -> list[Trained]:
    rows = {s: (labels == s).nonzero()[:, 0] for s in {s for s, _ in pairs}}
    first_jobs = [Job((s, t), 1, t, rows[s], seed) for s, t in pairs]
    firsts = _with_restarts(classifier, x, first_jobs, layers, recipe, told)
    outputs: list[Tensor] = [x[:0]]
    second_jobs = []
    for first in firsts:
        if first.ok and first.autoencoder is not None:
            s, t = first.pair
            passed = pass_through(classifier, first.autoencoder, x[rows[s]], s, t)
            start = sum(len(part) for part in outputs)
            outputs.append(passed.output[passed.kept])
            kept = torch.arange(start, start + len(outputs[-1]), device=x.device)
            second_jobs.append(Job((s, t), 2, s, kept, seed))
    back = _with_restarts(classifier, torch.cat(outputs), second_jobs, layers, recipe, told)
    by_pair = {stage.pair: stage for stage in back}
    return [Trained(first.pair, first, by_pair.get(first.pair)) for first in firsts]


def _with_restarts(
    classifier: Classifier,
    pool: Tensor,
    jobs: Sequence[Job],
    layers: Sequence[Layer],
    recipe: Recipe,
    told: Callable[[int, int, int], None],
) -> list[Stage]:
    """A stage for all jobs; the collapsed ones, and only they, are trained again from the next seed."""
    nothing = float("nan")
    stages = {
        job.pair: Stage(job.pair, job.stage, NO_IMAGES, None, Log([], [], []), 0, 0, nothing, nothing, nothing, 0, 0.0)
        for job in jobs
    }
    spent = dict.fromkeys(stages, 0.0)
    waiting = [job for job in jobs if len(job.rows)]
    for restarts in range(recipe.max_restarts + 1):
        if not waiting:
            break
        again = [Job(job.pair, job.stage, job.goal, job.rows, job.seed + restarts) for job in waiting]
        began = time.perf_counter()
        trained = train_stack(classifier, pool, again, layers, recipe, partial(told, len(again), again[0].stage))
        each = (time.perf_counter() - began) / len(again)
        for job, (autoencoder, log) in zip(again, trained, strict=True):
            spent[job.pair] += each
            stages[job.pair] = _judged(
                classifier, pool[job.rows], job, autoencoder, log, recipe, restarts, spent[job.pair]
            )
        waiting = [job for job in waiting if stages[job.pair].status == COLLAPSED]
    return [stages[job.pair] for job in jobs]


def _judged(
    classifier: Classifier,
    x: Tensor,
    job: Job,
    autoencoder: Autoencoder,
    log: Log,
    recipe: Recipe,
    restarts: int,
    seconds: float,
) -> Stage:
    before = job.pair[job.stage - 1]
    passed = pass_through(classifier, autoencoder, x, before, job.goal)
    spread_in, spread_out = spread(x), spread(passed.output)
    num_kept = int(passed.kept.sum())
    status = OK if num_kept else NOTHING_KEPT
    # a spread that is not a number has collapsed, too
    if spread_in > 0 and not spread_out >= recipe.min_collapse_ratio * spread_in:
        status = COLLAPSED
    distance = float(norm(passed.output - x, "l2").median())
    return Stage(
        job.pair,
        job.stage,
        status,
        autoencoder,
        log,
        len(x),
        num_kept,
        spread_in,
        spread_out,
        distance,
        restarts,
        seconds,
    )
