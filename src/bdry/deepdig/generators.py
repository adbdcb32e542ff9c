"""The generators of borderline instances: DeepDIG and those it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
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
from .result import Borderline, PairImages, refined


@GENERATORS.register("deepdig")
def deepdig(
    classifier: Classifier, images: PairImages, *, seed: int, beta: float = 1e-4, max_attempts: int = 40
) -> Borderline:
    """Bisection between AE1(x), predicted t, and AE2(AE1(x)), predicted s. Source: docs/papers/karimi2020.md."""
    (s, t), x = images.pair, images.source
    trained = _trained(images, "deepdig")
    correct = correct_rows(classifier, x, s)
    source, ends, forwards = _through(classifier, trained.first, x, correct, (s, t))
    back = ends
    if len(source):
        kept, back, spent = _through(classifier, trained.second, ends, torch.arange(len(ends), device=x.device), (t, s))
        source, ends, forwards = source[kept], ends[kept], forwards + spent
    return refined(
        "deepdig",
        classifier,
        images,
        source,
        back,
        ends,
        num_correct=len(correct),
        beta=beta,
        max_attempts=max_attempts,
        forwards=len(x) + forwards,
        status=trained.status,
    )


@GENERATORS.register("real_ae1")
def real_ae1(
    classifier: Classifier, images: PairImages, *, seed: int, beta: float = 1e-4, max_attempts: int = 40
) -> Borderline:
    """Bisection between the image itself and AE1(x): DeepDIG without component II. Ours."""
    (s, t), x = images.pair, images.source
    first = _trained(images, "real_ae1").first
    correct = correct_rows(classifier, x, s)
    source, ends, forwards = _through(classifier, first, x, correct, (s, t))
    return refined(
        "real_ae1",
        classifier,
        images,
        source,
        x[source],
        ends,
        num_correct=len(correct),
        beta=beta,
        max_attempts=max_attempts,
        forwards=len(x) + forwards,
        status=first.status if first.ok else f"stage 1: {first.status}",
    )


@GENERATORS.register("rpbs")
def rpbs(
    classifier: Classifier, images: PairImages, *, seed: int, beta: float = 1e-4, max_attempts: int = 40
) -> Borderline:
    """Random pairs: correctly predicted images of s and t, both shuffled and zipped (docs/papers/karimi2020.md)."""
    source, target = _correct(classifier, images)
    rng = generator(seed, "rpbs", *images.pair)
    shuffled = [rows[torch.randperm(len(rows), generator=rng).to(rows.device)] for rows in (source, target)]
    n = min(len(source), len(target))
    return _between_real("rpbs", classifier, images, shuffled[0][:n], shuffled[1][:n], len(source), beta, max_attempts)


@GENERATORS.register("epbs")
def epbs(
    classifier: Classifier, images: PairImages, *, seed: int, beta: float = 1e-4, max_attempts: int = 40
) -> Borderline:
    """Each image of s with the image of t whose features are nearest in l2, both correctly predicted.

    Source: docs/papers/karimi2020.md, as intended; what the authors' code does is `epbs_as_coded`.
    """
    source, target = _correct(classifier, images)
    paired = source if len(target) else source[:0]
    partner = nearest_features(classifier, images.source[paired], images.target[target])
    return _between_real("epbs", classifier, images, paired, target[partner], len(source), beta, max_attempts)


@GENERATORS.register("epbs_as_coded")
def epbs_as_coded(
    classifier: Classifier, images: PairImages, *, seed: int, beta: float = 1e-4, max_attempts: int = 40
) -> Borderline:
    """Each image of s with the first correctly predicted image of t. Source: docs/papers/karimi2020.md (B1)."""
    source, target = _correct(classifier, images)
    paired = source if len(target) else source[:0]
    partner = target[torch.zeros_like(paired)]
    return _between_real("epbs_as_coded", classifier, images, paired, partner, len(source), beta, max_attempts)


@GENERATORS.register("margin_bisect")
def margin_bisect(
    classifier: Classifier,
    images: PairImages,
    *,
    seed: int,
    beta: float = 1e-4,
    max_attempts: int = 40,
    estimator: str = "walk",
    clipped: bool = True,
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 512,
) -> Borderline:
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
        result = estimate(classifier, at, norm="l2", clipped=clipped, towards=towards, **(settings or {}))
        end = at + per_sample(result.overshot / result.margin, at) * (result.point - at)
        reached = result.success & (predict(classifier, torch.where(per_sample(result.success, at), end, at)) == t)
        sources.append(rows[reached])
        ends.append(end[reached])
        forwards += int(result.forwards.sum()) + len(rows)
        backwards += int(result.backwards.sum())
    source = torch.cat(sources)
    return refined(
        "margin_bisect",
        classifier,
        images,
        source,
        x[source],
        torch.cat(ends),
        num_correct=len(correct),
        beta=beta,
        max_attempts=max_attempts,
        forwards=forwards + len(x),
        backwards=backwards,
    )


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

    None where the stage failed: what a collapsed autoencoder gives is never a success.
    """
    autoencoder: Autoencoder | None = stage.autoencoder if stage is not None and stage.ok else None
    if autoencoder is None or len(rows) == 0:
        return rows[:0], x[:0], 0
    passed = pass_through(classifier, autoencoder, x[rows], *classes)
    return rows[passed.kept], passed.output[passed.kept], 2 * len(rows)


def _between_real(
    method: str,
    classifier: Classifier,
    images: PairImages,
    source: Tensor,
    target: Tensor,
    num_correct: int,
    beta: float,
    max_attempts: int,
) -> Borderline:
    return refined(
        method,
        classifier,
        images,
        source,
        images.source[source],
        images.target[target],
        num_correct=num_correct,
        beta=beta,
        max_attempts=max_attempts,
        forwards=len(images.source) + len(images.target),
    )
