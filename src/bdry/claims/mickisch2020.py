"""The claims of mickisch2020 (arXiv 2002.01810): C1-C7 of its abstract and readers, F1-F7 of a published review.

The rules were written before any number was known, and are the same at every scale. Margins are those of the main
study in R^d, without the box. "Peak" is the largest mean margin after initialisation up to epoch 8: margins are
small at initialisation and rise while the network first learns, so nothing is compared with epoch 0. Changes are
relative (-0.2: a fifth less). Interval: 95 %, see `claims.intervals`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .claim import FAILS, HOLDS, Verdict, claim, decide, not_tested
from .curves import (
    FEWEST_IMAGES,
    Curves,
    change_since,
    change_since_peak,
    first_from,
    margin_curves,
    means,
    peak_epoch,
)
from .evidence import Evidence
from .intervals import Estimate, estimate, over_seeds, proportion

PAPER = "mickisch2020"
NORMS = ("l2", "linf")
ABSTRACT = "abstract"
SECONDARY = "secondary source"
REVIEW = "a published review"
PEAK_UNTIL = 8
# "stays level" allows for this fall
LEVEL_FALL = -0.1
SINCE_PEAK = "relative change of the mean margin since its peak"


def _change_since_peak(curve: pd.DataFrame) -> float:
    return change_since_peak(curve, PEAK_UNTIL)


@claim(
    PAPER,
    "C1",
    "The decision boundary moves closer to natural images over training.",
    says=f"yes, on MNIST, Fashion-MNIST and CIFAR-10 ({ABSTRACT})",
)
def boundary_approaches(evidence: Evidence) -> Verdict:
    """Standard training: the mean margin falls from its peak to the last epoch, on training images and on correctly
    classified test images, in both norms."""
    parts = []
    for split, subset in (("train", "all"), ("test", "correct")):
        for norm in NORMS:
            curves = margin_curves(evidence, training="standard", split=split, norm=norm, subset=subset)
            if curves:
                parts.append((f"{split} {subset}, {norm}", estimate(_change_since_peak, curves)))
    return decide(parts, SINCE_PEAK, below=0)


@claim(
    PAPER,
    "C2",
    "The boundary goes on approaching in late training, when the error is low already.",
    says=f"yes ({ABSTRACT})",
)
def approaches_late(evidence: Evidence) -> Verdict:
    """Standard training: the mean margin of training images falls from the first epoch measured with 99 % training
    accuracy to the last epoch, in both norms. Not tested where 99 % comes too late or never."""
    history = evidence.rows("history", training="standard", study="main")
    learnt = history[history["train_accuracy"] >= 0.99].groupby("seed")["epoch"].min().to_dict()
    parts = []
    for norm in NORMS:
        curves = margin_curves(evidence, training="standard", split="train", norm=norm)
        late = {seed: curve.loc[:, curve.columns >= learnt.get(seed, np.inf)] for seed, curve in curves.items()}
        late = {seed: curve for seed, curve in late.items() if curve.shape[1] > 1}
        if len(late) < len(curves):
            return not_tested(f"{len(late)} of {len(curves)} seeds reach 99 % training accuracy before the last epoch")
        if late:
            found = estimate(lambda curve: change_since(curve, curve.columns[0]), late)
            parts.append((f"train, {norm}", found))
    return decide(parts, "relative change of the mean margin since 99 % training accuracy", below=0)


def _late_change(curve: pd.DataFrame) -> float:
    return change_since(curve, first_from(curve, PEAK_UNTIL))


@claim(
    PAPER,
    "C3",
    "Adversarial training has the potential to prevent the approach.",
    says=f"it appears to have the potential ({ABSTRACT})",
)
def adversarial_training_prevents(evidence: Evidence) -> Verdict:
    """linf PGD training, linf margins of training images, from epoch 8 to the last: its change is above standard
    training's by a positive amount, and is itself not below -0.1. Not tested where standard training does not fall."""
    standard = margin_curves(evidence, training="standard", split="train", norm="linf")
    adversarial = margin_curves(evidence, training="pgd linf", split="train", norm="linf")
    if not standard or not adversarial:
        return not_tested("needs standard and linf PGD training")
    fall, kept = estimate(_late_change, standard), estimate(_late_change, adversarial)
    if not fall.high < 0:
        return not_tested(f"nothing to prevent: standard training changes by {fall}")
    difference = estimate(lambda a, b: _late_change(a) - _late_change(b), adversarial, standard)
    verdict = decide([("train, linf", difference)], "late change under PGD minus under standard training", above=0)
    aside = f"PGD {kept}, standard {fall}"
    if verdict.verdict == HOLDS and kept.value < LEVEL_FALL:
        return Verdict(FAILS, f"it slows the fall without preventing it: {aside}", verdict.statistic, difference)
    return Verdict(verdict.verdict, f"{verdict.reason}; {aside}", verdict.statistic, verdict.estimate)


@claim(
    PAPER,
    "C4",
    "Training does not push the boundary away from the training data in all directions.",
    says=f"it is said to approach in at least some ({SECONDARY})",
)
def not_pushed_away(evidence: Evidence) -> Verdict:
    """Standard training: more than half of the training images are nearer to the boundary at the last epoch than
    they were at the peak of the mean, in both norms. The distance along random directions is told beside it."""
    parts = []
    for norm in NORMS:
        curves = margin_curves(evidence, training="standard", split="train", norm=norm)
        if curves:
            parts.append((f"train, {norm}", estimate(_share_nearer, curves)))
    verdict = decide(parts, "share of images nearer to the boundary than at the peak", above=0.5)
    beside = _random_directions(evidence)
    return Verdict(verdict.verdict, f"{verdict.reason}; {beside}", verdict.statistic, verdict.estimate)


def _share_nearer(curve: pd.DataFrame) -> float:
    peak = peak_epoch(curve, PEAK_UNTIL)
    if not np.isfinite(peak) or not curve.columns[-1] > PEAK_UNTIL:
        return np.nan
    both = curve[[peak, curve.columns[-1]]].dropna()
    return float((both.iloc[:, 1] < both.iloc[:, 0]).mean())


def _random_directions(evidence: Evidence) -> str:
    rows = evidence.rows("directions", training="standard", study="main", split="train")
    rows = rows[rows["epoch"] >= 1]
    if rows.empty:
        return "distances along random directions were not measured"
    found = rows[rows["success"].astype(bool)].groupby(["seed", "epoch"])["distance"].median().unstack("epoch")
    change = over_seeds((found.iloc[:, -1] / found.iloc[:, 0] - 1).tolist())
    reached = rows["success"].mean()
    return (
        f"median l2 distance along random directions from epoch 1 to the last: change {change}, "
        f"over the {reached:.0%} of rays that meet a boundary"
    )


@claim(
    PAPER,
    "C5",
    "Misclassified images lie markedly closer to the boundary than correctly classified ones.",
    says=f"yes ({SECONDARY})",
)
def misclassified_are_closer(evidence: Evidence) -> Verdict:
    """Test images at the last epoch, both norms: mean margin of misclassified over that of correct images below 0.6
    in standard training and, where there is linf PGD training, below 1 in it. At least 20 misclassified images."""
    parts: dict[str, list[tuple[str, Estimate]]] = {"standard": [], "pgd linf": []}
    for training, found in parts.items():
        for norm in NORMS:
            samples = [
                margin_curves(evidence, training=training, split="test", norm=norm, subset=subset)
                for subset in ("incorrect", "correct")
            ]
            if all(samples):
                found.append((f"{training}, {norm}", estimate(_ratio_at_end, *samples)))
    statistic = "mean margin of misclassified / of correct test images"
    standard = decide(parts["standard"], statistic, below=0.6)
    if standard.verdict != HOLDS or not parts["pgd linf"]:
        return standard
    adversarial = decide(parts["pgd linf"], statistic, below=1)
    if adversarial.verdict != HOLDS:
        return adversarial
    return Verdict(HOLDS, f"{standard.reason}; {adversarial.reason}", standard.statistic, standard.estimate)


def _ratio_at_end(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Mean margin of the first over that of the second at the last epoch; nan with fewer than 20 images in either."""
    last = max(first.columns[-1], second.columns[-1])
    if last not in first or last not in second:
        return np.nan
    ends = [frame[last].dropna() for frame in (first, second)]
    if min(map(len, ends)) < FEWEST_IMAGES:
        return np.nan
    return float(ends[0].mean() / ends[1].mean())


@claim(
    PAPER,
    "C6",
    "The distance is estimated by DeepFool: what is concluded from it does not depend on the estimator.",
    says=f"DeepFool is the estimator ({SECONDARY}); other estimators are our addition",
)
def independent_of_the_estimator(evidence: Evidence) -> Verdict:
    """Estimator check on at least 3 checkpoints and 100 images a run: from DeepFool's peak to the last epoch the mean
    margin of every other estimator changes in the direction of DeepFool's, in every run, split and norm."""
    rows = evidence.rows("measured/estimator_check", study="main", clipped=False)
    agreeing = panels = 0
    listed = []
    for (training, split, norm), panel in rows.groupby(["training", "split", "norm"]):
        for seed, part in panel.groupby("seed"):
            if part["epoch"].nunique() < 3 or part["index"].nunique() < 100:
                continue
            mean = part.groupby(["epoch", "estimator"])["margin"].mean().unstack("estimator")
            early = mean.loc[(mean.index > 0) & (mean.index <= PEAK_UNTIL), "deepfool"]
            if early.empty or mean.index[-1] <= PEAK_UNTIL:
                continue
            changes = mean.iloc[-1] / mean.loc[early.idxmax()] - 1
            others = changes.drop("deepfool")
            same = np.sign(others) == np.sign(changes["deepfool"])
            agreeing, panels = agreeing + int(same.sum()), panels + len(others)
            if not same.all():
                signs = ", ".join(f"{name} {value:+.2f}" for name, value in changes.items())
                listed.append(f"{training}, {split}, {norm}, seed {seed}: {signs}")
    if not panels:
        return not_tested("no run has an estimator check on 3 checkpoints and 100 images that goes past epoch 8")
    share = proportion(agreeing, panels, f"{panels} comparisons")
    reason = f"{agreeing} of {panels} comparisons agree in sign" + "".join(f"; {line}" for line in listed)
    return Verdict(HOLDS if agreeing == panels else FAILS, reason, "share of trends that agree in sign", share)


def _controls(evidence: Evidence, norm: str, split: str) -> dict[str, Curves]:
    """Standard training's curves of the main study and of each control, by study."""
    studies = sorted(set(evidence.rows("margins", training="standard")["study"]))
    kept = [study for study in studies if study == "main" or study.startswith("control")]
    found = {s: margin_curves(evidence, training="standard", split=split, norm=norm, study=s) for s in kept}
    return {study: curves for study, curves in found.items() if curves}


@claim(
    PAPER,
    "C7",
    "Adversarial training matters more to the margin than architecture, initialisation or optimiser.",
    says="low robustness is due to the training dynamics (a weak secondary source)",
)
def training_matters_most(evidence: Evidence) -> Verdict:
    """Mean linf margin of test images at the last epoch: the factor between linf PGD and standard training, divided by
    the factor between the largest and the smallest of the standard runs with other initialisation, optimiser,
    architecture, schedule or weight decay (and the main ones), is above 1. At least three controls."""
    controls = _controls(evidence, "linf", "test")
    adversarial = margin_curves(evidence, training="pgd linf", split="test", norm="linf")
    if len(controls) < 4 or "main" not in controls or not adversarial:
        return not_tested(f"needs linf PGD training and at least three controls; there are {len(controls)} with main")

    def factor(trained: pd.DataFrame, *others: pd.DataFrame) -> float:
        ends = [means(curve).iloc[-1] for curve in others]
        return float(means(trained).iloc[-1] / ends[0] / (max(ends) / min(ends)))

    order = ["main", *(study for study in controls if study != "main")]
    found = estimate(factor, adversarial, *(controls[study] for study in order))
    ends = [f"{study} {over_seeds([means(c).iloc[-1] for c in controls[study].values()]).value:.3g}" for study in order]
    verdict = decide([("test, linf", found)], "factor of PGD training over factor among controls", above=1)
    return Verdict(
        verdict.verdict, f"{verdict.reason}; last margins: {', '.join(ends)}", verdict.statistic, verdict.estimate
    )


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
        fall = estimate(_late_change, standard)
        beside.append(f"standard {split} {fall}")
        if not fall.high < 0:
            return not_tested(f"standard training does not fall: {'; '.join(beside)}")
        parts.append((f"{split} correct, linf", estimate(_late_change, adversarial)))
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
                found = estimate(_change_since_peak, curves)
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
    last = rows[rows["step"] == rows.groupby(["run", "seed"])["step"].transform("max")]
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
        controls = _controls(evidence, norm, "train")
        if len(controls) < 4:
            return not_tested(f"needs at least three controls; there are {len(controls)} with main")
        for study, curves in controls.items():
            parts.append((f"{study}, {norm}", estimate(_change_since_peak, curves)))
    return decide(parts, SINCE_PEAK, below=0)
