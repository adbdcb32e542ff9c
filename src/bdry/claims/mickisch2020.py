"""Claims C1-C7 of mickisch2020 (arXiv 2002.01810), of its abstract and readers; F1-F7 are in `mickisch2020_review`.

The rules were written before any number was known, and are the same at every scale. Margins are those of the main
study in R^d, without the box. "Peak" is the largest mean margin after initialisation up to epoch 8: margins are
small at initialisation and rise while the network first learns, so nothing is compared with epoch 0. Changes are
relative (-0.2: a fifth less). Interval: 95 %, see `selection.intervals`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.evidence import Evidence
from ..selection.intervals import Estimate, estimate, over_seeds, proportion
from ..selection.margin_curves import (
    FEWEST_IMAGES,
    Curves,
    change_since,
    change_since_peak,
    first_from,
    margin_curves,
    means,
    peak_epoch,
)
from ..selection.verdicts import FAILS, HOLDS, Verdict, claim, decide, not_tested

PAPER = "mickisch2020"
NORMS = ("l2", "linf")
ABSTRACT = "abstract"
SECONDARY = "secondary source"
PEAK_UNTIL = 8
# "stays level" allows for this fall
LEVEL_FALL = -0.1
SINCE_PEAK = "relative change of the mean margin since its peak"


def fall_since_peak(curve: pd.DataFrame) -> float:
    """Relative change of the mean margin from its peak to the last epoch; below 0 where it falls."""
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
                parts.append((f"{split} {subset}, {norm}", estimate(fall_since_peak, curves)))
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


def late_change(curve: pd.DataFrame) -> float:
    """Relative change of the mean margin from epoch 8 to the last."""
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
    fall, kept = estimate(late_change, standard), estimate(late_change, adversarial)
    if not fall.high < 0:
        return not_tested(f"nothing to prevent: standard training changes by {fall}")
    difference = estimate(lambda a, b: late_change(a) - late_change(b), adversarial, standard)
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
    rows = evidence.rows("estimator_check", study="main", clipped=False)
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


def standard_curves(evidence: Evidence, norm: str, split: str) -> dict[str, Curves]:
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
    controls = standard_curves(evidence, "linf", "test")
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
