"""Claims F1-F7 of mickisch2020 (arXiv 2002.01810): the findings that a published review reports.

The conventions are those of `mickisch2020`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.evidence import Evidence
from ..selection.intervals import estimate, over_seeds
from ..selection.margin_curves import FEWEST_IMAGES, margin_curves, means, peak_epoch
from ..selection.verdicts import FAILS, HOLDS, Verdict, claim, decide, not_tested
from .mickisch2020 import (
    LEVEL_FALL,
    NORMS,
    PAPER,
    PEAK_UNTIL,
    SINCE_PEAK,
    fall_since_peak,
    late_change,
    standard_curves,
)

REVIEW = "a published review"


@claim(
    PAPER,
    "F1",
    "The boundary approaches training and test images throughout training, also late.",
    says=f"yes ({REVIEW})",
)
def approaches_throughout(evidence: Evidence) -> Verdict:
    """Standard training: Spearman's rank correlation of mean margin and epoch from the peak on is below 0, on training
    and on test images, in both norms. At least four moments from the peak on."""
    parts = []
    for split in ("train", "test"):
        for norm in NORMS:
            curves = margin_curves(evidence, training="standard", split=split, norm=norm)
            if curves:
                parts.append((f"{split}, {norm}", estimate(_rank_trend, curves)))
    return decide(parts, "rank correlation of mean margin and epoch since the peak", below=0)


def _rank_trend(curve: pd.DataFrame) -> float:
    from scipy.stats import spearmanr

    mean = means(curve)
    mean = mean[mean.index >= peak_epoch(curve, PEAK_UNTIL)].dropna()
    if len(mean) < 4 or mean.nunique() < 2:
        return np.nan
    return float(spearmanr(mean.index, mean).statistic)


@claim(PAPER, "F2", "Low error does not imply robustness.", says=f"yes ({REVIEW})")
def low_error_is_not_robust(evidence: Evidence) -> Verdict:
    """Standard training at the last epoch: accuracy under PGD over accuracy on the same test split is below one half.
    Not tested where test accuracy is below 80 %, or with one seed."""
    last = evidence.rows("history", training="standard", study="main").sort_values("epoch").groupby("seed").last()
    last = last.dropna(subset=["robust_accuracy"]) if len(last) else last
    if last.empty:
        return not_tested("no run measured robust accuracy")
    if last["test_accuracy"].mean() < 0.8:
        return not_tested(f"the error is not low: test accuracy {last['test_accuracy'].mean():.1%}")
    found = over_seeds((last["robust_accuracy"] / last["test_accuracy"]).tolist())
    attack = f"{last['robust_norm'].iloc[0]}, eps {last['robust_eps'].iloc[0]:.3g}"
    return decide([(attack, found)], "accuracy under PGD / clean accuracy", below=0.5)


@claim(
    PAPER,
    "F3",
    "Under adversarial training correct images keep or widen their margin, while it falls in standard training.",
    says=f"yes ({REVIEW})",
)
def correct_images_keep_their_margin(evidence: Evidence) -> Verdict:
    """linf margins of correctly classified training and test images from epoch 8 to the last: the change under linf PGD
    training is above -0.1. Not tested where standard training does not fall on the same images."""
    parts, beside = [], []
    for split in ("train", "test"):
        standard, adversarial = (
            margin_curves(evidence, training=training, split=split, norm="linf", subset="correct")
            for training in ("standard", "pgd linf")
        )
        if not standard or not adversarial:
            return not_tested("needs standard and linf PGD training")
        fall = estimate(late_change, standard)
        beside.append(f"standard {split} {fall}")
        if not fall.high < 0:
            return not_tested(f"standard training does not fall: {'; '.join(beside)}")
        parts.append((f"{split} correct, linf", estimate(late_change, adversarial)))
    verdict = decide(parts, "relative change since epoch 8 under PGD", above=LEVEL_FALL)
    return Verdict(verdict.verdict, f"{verdict.reason}; {'; '.join(beside)}", verdict.statistic, verdict.estimate)


@claim(PAPER, "F4", "The margin of misclassified images keeps falling.", says=f"yes ({REVIEW})")
def misclassified_keep_falling(evidence: Evidence) -> Verdict:
    """Mean margin of misclassified test images, from its peak to the last epoch, in both norms: falls in standard
    training and, where there is any, in linf PGD training. Moments with fewer than 20 misclassified images are left
    out."""
    parts = []
    for training in ("standard", "pgd linf"):
        for norm in NORMS:
            curves = margin_curves(evidence, training=training, split="test", norm=norm, subset="incorrect")
            if curves:
                found = estimate(fall_since_peak, curves)
                parts.append((f"{training}, {norm}", found))
    return decide(parts, SINCE_PEAK, below=0)


@claim(
    PAPER,
    "F5",
    "On MNIST and Fashion-MNIST adversarial training transfers between l2 and linf.",
    says=f"yes ({REVIEW})",
)
def transfers_between_norms(evidence: Evidence) -> Verdict:
    """Mean margin of test images at the last epoch, PGD training over standard training: above 1 for l2 margins after
    linf PGD and for linf margins after l2 PGD. MNIST and Fashion-MNIST only."""
    if not set(evidence.datasets()) & {"mnist", "fashion_mnist"}:
        return not_tested("the claim is about MNIST and Fashion-MNIST")
    parts = []
    for training, norm in (("pgd linf", "l2"), ("pgd l2", "linf")):
        studies = ("main", "transfer")
        trained = [margin_curves(evidence, training=training, split="test", norm=norm, study=s) for s in studies]
        both = {seed: curve for curves in trained for seed, curve in curves.items()}
        standard = margin_curves(evidence, training="standard", split="test", norm=norm)
        if not both or not standard:
            return not_tested("needs standard, linf PGD and l2 PGD training")
        parts.append((f"{training} measured in {norm}", estimate(_ratio_of_last_means, both, standard)))
    return decide(parts, "mean test margin, PGD / standard training", above=1)


def _ratio_of_last_means(first: pd.DataFrame, second: pd.DataFrame) -> float:
    return float(means(first).iloc[-1] / means(second).iloc[-1])


@claim(
    PAPER,
    "F6",
    "Predicted confidence and margin disagree, most for misclassified images: networks are poorly calibrated.",
    says=f"yes ({REVIEW})",
)
def confidence_disagrees(evidence: Evidence) -> Verdict:
    """Standard training, test images at the last epoch: the rank correlation of confidence and l2 margin is smaller
    for misclassified than for correct images, and mean confidence exceeds accuracy. At least 20 misclassified
    images."""
    rows = evidence.rows("margins", training="standard", study="main", split="test", norm="l2", clipped=False)
    rows = rows[rows["success"].astype(bool)]
    if rows.empty:
        return not_tested("no run measured this")
    last = rows[rows["step"] == rows.groupby(["experiment", "seed"])["step"].transform("max")]
    images = {int(seed): part.set_index("index") for seed, part in last.groupby("seed")}
    difference = estimate(_difference_of_correlations, images)
    excess = estimate(lambda part: float((part["confidence"] - part["correct"].astype(float)).mean()), images)
    statistic = "rank correlation of confidence and margin, correct minus misclassified"
    verdict = decide([("test, l2", difference)], statistic, above=0)
    aside = f"mean confidence minus accuracy {excess}"
    if verdict.verdict == HOLDS and not excess.low > 0:
        return Verdict(FAILS, f"confidence does not exceed accuracy: {aside}", verdict.statistic, difference)
    return Verdict(verdict.verdict, f"{verdict.reason}; {aside}", verdict.statistic, verdict.estimate)


def _difference_of_correlations(images: pd.DataFrame) -> float:
    from scipy.stats import spearmanr

    found = []
    for correct in (True, False):
        part = images[images["correct"].astype(bool) == correct]
        if len(part) < FEWEST_IMAGES or part["confidence"].nunique() < 2:
            return np.nan
        found.append(spearmanr(part["confidence"], part["margin"]).statistic)
    return float(found[0] - found[1])


@claim(
    PAPER,
    "F7",
    "The approach comes from the training dynamics: it is seen over architectures and initialisations.",
    says=f"yes, over several architectures ({REVIEW})",
)
def seen_in_every_control(evidence: Evidence) -> Verdict:
    """Standard training of the main study and of at least three controls (initialisation, optimiser, architecture,
    schedule, weight decay): the mean margin of training images falls from its peak to the last epoch, in both norms."""
    parts = []
    for norm in NORMS:
        controls = standard_curves(evidence, norm, "train")
        if len(controls) < 4:
            return not_tested(f"needs at least three controls; there are {len(controls)} with main")
        for study, curves in controls.items():
            parts.append((f"{study}, {norm}", estimate(fall_since_peak, curves)))
    return decide(parts, SINCE_PEAK, below=0)
