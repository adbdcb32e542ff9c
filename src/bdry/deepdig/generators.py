"""The generators of borderline instances: DeepDIG and those it is compared with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core.norms import per_sample
from ..core.seeds import generator
from ..margins import ESTIMATORS
from ..models import Classifier
from ..names import GENERATORS
from .autoencoders import Autoencoder
from .components import Stage, Trained, pass_through
from .evaluation import correct_rows, evaluation_batch, features_of, predict
from .result import Borderline, PairImages, Segments, refined


def bisecting(name: str) -> Callable[[Callable[..., Segments]], Callable[..., Borderline]]:
    """Decorator that files what makes segments, (classifier, images, seed, **settings), as the generator `name`."""

    def file(segments_of: Callable[..., Segments]) -> Callable[..., Borderline]:
        @functools.wraps(segments_of)
        def generate(
            classifier: Classifier,
            images: PairImages,
            *,
            seed: int,
            beta: float = 1e-4,
            max_attempts: int = 40,
            **settings: Any,
        ) -> Borderline:
            segments = segments_of(classifier, images, seed, **settings)
            return refined(name, classifier, images, segments, beta=beta, max_attempts=max_attempts)

        return GENERATORS.register(name)(generate)

    return file


@bisecting("deepdig")
def deepdig(classifier: Classifier, images: PairImages, seed: int) -> Segments:
    """Bisection between AE1(x), predicted t, and AE2(AE1(x)), predicted s. Source: docs/papers/karimi2020.md."""
    (s, t), x = images.pair, images.source
    trained = _trained(images, "deepdig")
    correct = correct_rows(classifier, x, s)
    source, ends, forwards = _through(classifier, trained.first, x, correct, (s, t))
    back = ends
    if len(source):
        kept, back, spent = _through(classifier, trained.second, ends, torch.arange(len(ends), device=x.device), (t, s))
        source, ends, forwards = source[kept], ends[kept], forwards + spent
    return Segments(source, back, ends, len(correct), len(x) + forwards, status=trained.status)


@bisecting("real_ae1")
def real_ae1(classifier: Classifier, images: PairImages, seed: int) -> Segments:
    """Bisection between the image itself and AE1(x): DeepDIG without component II. Ours."""
    (s, t), x = images.pair, images.source
    first = _trained(images, "real_ae1").first
    correct = correct_rows(classifier, x, s)
    source, ends, forwards = _through(classifier, first, x, correct, (s, t))
    status = first.status if first.ok else f"stage 1: {first.status}"
    return Segments(source, x[source], ends, len(correct), len(x) + forwards, status=status)


@bisecting("rpbs")
def rpbs(classifier: Classifier, images: PairImages, seed: int) -> Segments:
    """Random pairs: correctly predicted images of s and t, both shuffled and zipped (docs/papers/karimi2020.md)."""
    source, target = _correct(classifier, images)
    rng = generator(seed, "rpbs", *images.pair)
    shuffled = [rows[torch.randperm(len(rows), generator=rng).to(rows.device)] for rows in (source, target)]
    n = min(len(source), len(target))
    return _between_real(images, shuffled[0][:n], shuffled[1][:n], len(source))


@bisecting("epbs")
def epbs(classifier: Classifier, images: PairImages, seed: int) -> Segments:
    """Each image of s with the image of t whose features are nearest in l2, both correctly predicted.

    Source: docs/papers/karimi2020.md, as intended; what the authors' code does is `epbs_as_coded`.
    """
    source, target = _correct(classifier, images)
    paired = source if len(target) else source[:0]
    partner = nearest_features(classifier, images.source[paired], images.target[target])
    return _between_real(images, paired, target[partner], len(source))


@bisecting("epbs_as_coded")
def epbs_as_coded(classifier: Classifier, images: PairImages, seed: int) -> Segments:
    """Each image of s with the first correctly predicted image of t. Source: docs/papers/karimi2020.md (B1)."""
    source, target = _correct(classifier, images)
    paired = source if len(target) else source[:0]
    return _between_real(images, paired, target[torch.zeros_like(paired)], len(source))


@bisecting("margin_bisect")
def margin_bisect(
    classifier: Classifier,
    images: PairImages,
    seed: int,
    *,
    estimator: str = "walk",
    clipped: bool = True,
    batch_size: int = 512,
) -> Segments:
    """Bisection between the image and the end point, before bisection, of a targeted l2 margin estimator.

    No training. An estimator that does not get to t leaves the image without a segment: read `coverage` beside every
    other number. On MNIST `walk` reaches t more often than `deepfool`, fails bisection less and ends nearer, at twice
    the cost; `fmn` is a little nearer still at four times. Inside the box, as all other generators' instances are.
    Source: docs/papers/karimi2020.md.

    Raises `ValueError` where there is no such estimator.
    """
    (s, t), x = images.pair, images.source
    estimate = ESTIMATORS[estimator]
    correct = correct_rows(classifier, x, s)
    sources, ends, forwards, backwards = [correct[:0]], [x[:0]], 0, 0
    for rows in correct.split(batch_size) if len(correct) else ():
        at = x[rows]
        towards = torch.full_like(rows, t)
        result = estimate(classifier, at, norm="l2", clipped=clipped, towards=towards)
        end = at + per_sample(result.overshot / result.margin, at) * (result.point - at)
        reached = result.success & (predict(classifier, torch.where(per_sample(result.success, at), end, at)) == t)
        sources.append(rows[reached])
        ends.append(end[reached])
        forwards += int(result.forwards.sum()) + len(rows)
        backwards += int(result.backwards.sum())
    source = torch.cat(sources)
    return Segments(source, x[source], torch.cat(ends), len(correct), forwards + len(x), backwards)


@torch.no_grad()
def nearest_features(classifier: Classifier, x: Tensor, others: Tensor) -> Tensor:
    """For each image of `x` the position of the one of `others` whose features are nearest in l2, (N,).

    Args:
        classifier: in the state that `core.measuring` makes.
        x: (N, C, H, W).
        others: (M, C, H, W), one at least.
    """
    if len(x) == 0:
        return torch.zeros(0, dtype=torch.int64, device=x.device)
    features, others_features = features_of(classifier, x), features_of(classifier, others)
    return torch.cat([torch.cdist(part, others_features).argmin(1) for part in features.split(evaluation_batch(x))])


def _trained(images: PairImages, name: str) -> Trained:
    if images.trained is None:
        raise ValueError(f"{name}: needs the pair's trained autoencoders; PairImages.trained is None")
    return images.trained


def _correct(classifier: Classifier, images: PairImages) -> tuple[Tensor, Tensor]:
    s, t = images.pair
    return correct_rows(classifier, images.source, s), correct_rows(classifier, images.target, t)


def _through(
    classifier: Classifier, stage: Stage | None, x: Tensor, rows: Tensor, classes: tuple[int, int]
) -> tuple[Tensor, Tensor, int]:
    """Of `rows` of x those that the stage takes to the class wanted, the outputs, and forward passes spent.

    None of them where the stage failed: what a collapsed autoencoder gives is never a success.
    """
    autoencoder: Autoencoder | None = stage.autoencoder if stage is not None and stage.ok else None
    if autoencoder is None or len(rows) == 0:
        return rows[:0], x[:0], 0
    passed = pass_through(classifier, autoencoder, x[rows], *classes)
    return rows[passed.kept], passed.output[passed.kept], 2 * len(rows)


def _between_real(images: PairImages, source: Tensor, target: Tensor, num_correct: int) -> Segments:
    forwards = len(images.source) + len(images.target)
    return Segments(source, images.source[source], images.target[target], num_correct, forwards)
