"""How well a statistic tells perturbed from natural images: ROC, AUC with intervals, labels recovered, baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.seeds import derive
from ...core.statistics import auroc
from .statistics import DetectionScores

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Roc:
    """Points of a ROC curve: perturbed images flagged against natural ones flagged, by falling threshold; (P,) each."""

    false_positive: Array
    true_positive: Array
    threshold: Array

    def true_positive_at(self, false_positive: float) -> float:
        """The largest true-positive rate whose false-positive rate is at most this."""
        return float(self.true_positive[self.false_positive <= false_positive].max())


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class DetectionSummary:
    """One statistic at one alpha, always beside the logit gap and the runner-up.

    num_images: pairs of a natural image and its perturbed version that count: both have a score, labels differ.
    auc, logit_gap_auc: of the statistic and of the logit gap on the same images; gain: their difference.
    recovery_rate, runner_up_rate: share of perturbed images whose `recovered` class, or runner-up, is the natural
        image's; recovery_gain: their difference. All intervals resample pairs.
    flat_rate: share of images, natural and perturbed, whose second derivatives were all 0 to rounding.
    """

    statistic: str
    alpha: float
    num_images: int
    auc: Interval
    logit_gap_auc: Interval
    gain: Interval
    tpr_at_fpr05: float
    tpr_at_fpr10: float
    recovery_rate: Interval
    runner_up_rate: Interval
    recovery_gain: Interval
    flat_rate: float
    roc: Roc
    logit_gap_roc: Roc

    @property
    def beats_logit_gap(self) -> bool:
        """Whether the interval of the gain over the logit gap's AUC lies above 0."""
        return self.gain.low > 0


def roc(natural: Array, perturbed: Array) -> Roc:
    """The ROC curve of scores that are larger where an image looks perturbed, (N,) and (M,).

    Args:
        natural: (N,), scores of natural images, which may be infinite.
        perturbed: (M,), scores of perturbed ones, likewise.

    Raises:
        ValueError: a score is nan.
    """
    # here, because it is slow to import and most commands do without
    from sklearn.metrics import roc_curve

    scores = np.concatenate([natural, perturbed])
    if np.isnan(scores).any():
        raise ValueError("roc: a score is nan")
    truth = np.concatenate([np.zeros(len(natural)), np.ones(len(perturbed))])
    # of the ranks, which are finite; the first threshold, which flags no image, is infinite
    values, ranks = np.unique(scores, return_inverse=True)
    false_positive, true_positive, thresholds = roc_curve(truth, ranks, drop_intermediate=False)
    return Roc(false_positive, true_positive, np.concatenate([thresholds[:1], values[thresholds[1:].astype(int)]]))


def summarise(
    natural: DetectionScores,
    perturbed: DetectionScores,
    *,
    alpha: float,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> DetectionSummary | None:
    """How well the scores of N images and of their perturbed versions, row by row, are told apart.

    Args:
        natural: of N images.
        perturbed: of their perturbed versions, in the same order.
        alpha: what the perturbation was scaled by.
        seed: of the bootstrap, which resamples images: a natural image and its perturbed version stay together.
        confidence: of the intervals, in (0, 1).
        resamples: of the bootstrap.

    Returns:
        None where fewer than two pairs count.
    """
    # here, because it is slow to import and most commands do without
    from scipy.stats import bootstrap

    counts = (natural.success & perturbed.success & (natural.predicted != perturbed.predicted)).cpu().numpy()
    num_images = int(counts.sum())
    if num_images < 2:
        return None
    scores = [part.score.double().cpu().numpy()[counts] for part in (natural, perturbed)]
    gaps = [-part.logit_gap.double().cpu().numpy()[counts] for part in (natural, perturbed)]
    original = natural.predicted
    hits = [(label == original).double().cpu().numpy()[counts] for label in (perturbed.recovered, perturbed.runner_up)]

    def measures(*columns: Array, axis: int = -1) -> Array:
        ours, baseline = auroc(columns[1], columns[0], axis), auroc(columns[3], columns[2], axis)
        recovered, runner_up = (column.mean(axis) for column in columns[4:])
        return np.stack([ours, baseline, ours - baseline, recovered, runner_up, recovered - runner_up])

    columns = (*scores, *gaps, *hits)
    values = measures(*columns)
    ends = bootstrap(
        columns,
        measures,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=100,
        rng=np.random.default_rng(derive(seed, "detection", num_images)),
    ).confidence_interval
    intervals = [Interval(*map(float, row)) for row in zip(values, ends.low, ends.high, strict=True)]
    curve = roc(*scores)
    return DetectionSummary(
        perturbed.statistic,
        alpha,
        num_images,
        auc=intervals[0],
        logit_gap_auc=intervals[1],
        gain=intervals[2],
        tpr_at_fpr05=curve.true_positive_at(0.05),
        tpr_at_fpr10=curve.true_positive_at(0.10),
        recovery_rate=intervals[3],
        runner_up_rate=intervals[4],
        recovery_gain=intervals[5],
        flat_rate=float(np.concatenate([part.flat.cpu().numpy()[counts] for part in (natural, perturbed)]).mean()),
        roc=curve,
        logit_gap_roc=roc(*gaps),
    )
