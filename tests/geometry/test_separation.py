"""ROC, AUC, its interval and label recovery, held to scikit-learn, to DeLong's formula and to what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_auc_score

from bdry.core.statistics import auroc
from bdry.geometry.detection.separation import roc, summarise
from bdry.geometry.detection.statistics import DetectionScores


def scores_of(
    score, *, predicted=0, recovered=0, runner_up=0, logit_gap=None, success=None, flat=False
) -> DetectionScores:
    score = torch.as_tensor(np.asarray(score), dtype=torch.float64)
    n = len(score)
    ones = torch.ones(n, dtype=torch.int64)
    return DetectionScores(
        "statistic",
        score=score,
        error=torch.zeros(n),
        recovered=ones * recovered,
        predicted=ones * predicted,
        runner_up=ones * runner_up,
        logit_gap=-score if logit_gap is None else torch.as_tensor(np.asarray(logit_gap), dtype=torch.float64),
        flat=torch.full((n,), flat),
        success=torch.ones(n, dtype=torch.bool) if success is None else torch.as_tensor(success),
        forwards=ones,
        backwards=ones,
    )


def normal(n: int, mean: float, seed: int) -> np.ndarray:
    return mean + np.random.default_rng(seed).standard_normal(n)


def delong_error(natural: np.ndarray, perturbed: np.ndarray) -> float:
    """DeLong, DeLong and Clarke-Pearson 1988, for scores without ties."""
    above = (perturbed[:, None] > natural[None]).astype(float)
    return float(np.sqrt(above.mean(1).var(ddof=1) / len(perturbed) + above.mean(0).var(ddof=1) / len(natural)))


def test_auc_equals_scikit_learn_with_ties():
    natural, perturbed = np.round(normal(80, 0, 0), 1), np.round(normal(50, 0.5, 1), 1)
    truth = [0] * 80 + [1] * 50
    assert float(auroc(perturbed, natural)) == pytest.approx(roc_auc_score(truth, np.concatenate([natural, perturbed])))


def test_the_interval_agrees_with_delong():
    natural, perturbed = normal(300, 0, 0), normal(300, 1, 1)
    found = summarise(scores_of(natural), scores_of(perturbed, predicted=1), alpha=1, seed=0, resamples=2000).auc
    width = 2 * 1.96 * delong_error(natural, perturbed)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(width, rel=0.15)


def test_pairs_stay_together_in_the_bootstrap():
    # each perturbed image scores about 1 above its own natural one: the AUC varies less than if both were drawn alone
    natural = normal(300, 0, 0)
    perturbed = natural + 1 + 0.01 * normal(300, 0, 1)
    found = summarise(scores_of(natural), scores_of(perturbed, predicted=1), alpha=1, seed=0).auc
    assert found.high - found.low < 0.7 * 2 * 1.96 * delong_error(natural, perturbed)


def test_a_statistic_that_separates_has_auc_one_and_one_without_information_half():
    perfect = summarise(scores_of(normal(50, -9, 0)), scores_of(normal(50, 9, 1), predicted=1), alpha=1, seed=0)
    assert (perfect.auc.value, perfect.auc.low, perfect.auc.high) == (1, 1, 1)
    assert perfect.tpr_at_fpr05 == perfect.tpr_at_fpr10 == 1
    flat = scores_of(np.zeros(50), flat=True)
    tied = summarise(flat, replace(flat, predicted=flat.predicted + 1), alpha=1, seed=0)
    assert (tied.auc.value, tied.flat_rate) == (0.5, 1)
    chance = summarise(scores_of(normal(200, 0, 0)), scores_of(normal(200, 0, 1), predicted=1), alpha=1, seed=0).auc
    assert chance.low < 0.5 < chance.high


def test_the_margin_stands_beside_the_statistic():
    natural, perturbed = normal(100, 0, 0), normal(100, 1, 1)
    same = summarise(scores_of(natural), scores_of(perturbed, predicted=1), alpha=2, seed=0)
    assert same.auc == same.logit_gap_auc
    assert (same.gain.value, same.gain.low, same.gain.high, same.beats_logit_gap) == (0, 0, 0, False)
    uninformative = [normal(100, 0, seed) for seed in (2, 3)]
    better = summarise(
        scores_of(natural, logit_gap=uninformative[0]),
        scores_of(perturbed, predicted=1, logit_gap=uninformative[1]),
        alpha=2,
        seed=0,
    )
    assert better.beats_logit_gap
    assert better.gain.value == pytest.approx(better.auc.value - better.logit_gap_auc.value)
    assert better.alpha == 2 and better.statistic == "statistic"


def test_recovery_stands_beside_the_runner_up():
    n = 40
    natural = scores_of(normal(n, 0, 0), predicted=2)
    perturbed = scores_of(normal(n, 0, 1), predicted=1)
    recovered, runner_up = torch.full((n,), 2), torch.full((n,), 2)
    recovered[:10], runner_up[:30] = 0, 0
    found = summarise(natural, replace(perturbed, recovered=recovered, runner_up=runner_up), alpha=5, seed=0)
    assert (found.recovery_rate.value, found.runner_up_rate.value) == (0.75, 0.25)
    assert found.recovery_gain.low > 0
    assert found.recovery_rate.low < 0.75 < found.recovery_rate.high


def test_only_pairs_with_scores_and_another_label_count():
    natural = scores_of(normal(6, 0, 0), success=[True, False, True, True, True, True])
    perturbed = scores_of(normal(6, 3, 1), predicted=torch.tensor([1, 1, 1, 0, 2, 1]), success=[True] * 5 + [False])
    assert summarise(natural, perturbed, alpha=1, seed=0).num_images == 3
    single = replace(perturbed, predicted=torch.tensor([1, 0, 0, 0, 0, 0]))
    assert summarise(natural, single, alpha=5, seed=0) is None


def test_the_same_seed_gives_the_same_interval():
    natural, perturbed = scores_of(normal(60, 0, 0)), scores_of(normal(60, 1, 1), predicted=1)
    first, again, other = (summarise(natural, perturbed, alpha=1, seed=seed).auc for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_roc_by_hand():
    curve = roc(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.5, 4.5]))
    assert curve.true_positive_at(0.0) == 0.5
    assert curve.true_positive_at(0.25) == 0.75
    assert curve.true_positive_at(0.5) == 1.0
    assert area_under(curve.false_positive, curve.true_positive) == pytest.approx(13 / 16)


def test_roc_of_infinite_scores_is_that_of_their_order():
    natural, perturbed = np.array([-np.inf, 1.0, 2.0, np.inf]), np.array([1.5, 2.0, np.inf, np.inf])
    curve = roc(natural, perturbed)
    # flagged from the largest score down: infinite ones together, then 2, 1.5, 1 and minus infinity
    assert curve.threshold.tolist() == [np.inf, np.inf, 2.0, 1.5, 1.0, -np.inf]
    assert curve.false_positive.tolist() == [0, 0.25, 0.5, 0.5, 0.75, 1]
    assert curve.true_positive.tolist() == [0, 0.5, 0.75, 1, 1, 1]
    assert area_under(curve.false_positive, curve.true_positive) == pytest.approx(float(auroc(perturbed, natural)))
    with pytest.raises(ValueError, match="nan"):
        roc(np.array([0.0, np.nan]), perturbed)
