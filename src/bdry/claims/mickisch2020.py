"""Claims C1-C7 of mickisch2020 (arXiv 2002.01810), of its abstract and readers; F1-F7 are in `mickisch2020_review`.

The rules are those of docs/verdicts.md and the same at every scale. Margins are those of the main study in R^d,
without the box: from `walk` where it was measured, with DeepFool's, the paper's estimator, beside it. The reference
moment is the first measured one at which a run's test accuracy is at least nine tenths of its last: it does not look
at margins, and is never near chance. "Correct" images are so at the reference and at the last moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd

from ..selection.claim import ABSTRACT, CELLS, SECONDARY, claim
from ..selection.effects import CHANGE, DIFFERENCE, RATE, RATIO, Effect, first, two_way
from ..selection.evidence import Cell, Evidence
from ..selection.margin_changes import (
    FEWEST_IMAGES,
    PAPERS,
    Frames,
    Sample,
    Since,
    accurate,
    at_end,
    before_after,
    histories,
    joined,
    judged,
    learnt,
    margin_rows,
    unmatched,
)
from ..selection.verdicts import SUPPORTED, Part, Verdict, decide, in_a_cell, not_run

DATASETS = (("fashion_mnist", ""), ("mnist", ""), ("cifar10", ""))
paper_claim = partial(claim, "mickisch2020", needs=DATASETS)
CELLS["mickisch2020"] = Cell(("study", "training"))
NORMS = ("l2", "linf")
IN_ABSTRACT = "abstract"
BY_OTHERS = "secondary source"
# "stays level" allows for this fall
LEVEL_FALL = -0.1
# of the smaller of two networks' last training accuracies, the share at which both are compared
MATCHED = 0.9
FEWEST_CHECKED = 100
CHANGED = "relative change of the mean margin since the reference moment"
ONLY_PAPERS = "only DeepFool's margins were measured, no tight estimator's"


def change(means: np.ndarray) -> np.ndarray:
    """Relative change from the first column's mean to the second's."""
    return means[..., 1] / means[..., 0] - 1


def ratio(means: np.ndarray) -> np.ndarray:
    """The first column's mean over the second's."""
    return means[..., 0] / means[..., 1]


def estimators(evidence: Evidence, **where: str) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """Name, whether it is beside the verdict, and rows of each estimator that a claim is judged on."""
    found = margin_rows(evidence, **where)
    for name, is_beside in judged(found):
        yield name, is_beside, found[name]


def said(parts: list[Part]) -> str:
    """What has to be said of the estimators behind these parts."""
    own = [part.label for part in parts if not part.secondary]
    return ONLY_PAPERS if own and all(f"({PAPERS})" in label for label in own) else ""


def changed(
    evidence: Evidence,
    training: str,
    norm: str,
    split: str,
    subset: str = "all",
    study: str = "main",
    since: Since = learnt,
    statistic: str = CHANGED,
) -> list[Part]:
    """The parts, by estimator, that a mean margin falls."""
    history = histories(evidence, training, study)
    parts = []
    for name, beside, rows in estimators(evidence, training=training, split=split, norm=norm, study=study):
        found = before_after(rows, history, since, subset)
        effect = two_way(change, found.frames, CHANGE)
        where = f"{split} {subset}" if study == "main" else f"{study}, {split} {subset}"
        where = where if training == "standard" else f"{training}, {where}"
        label = f"{where}, {norm} ({name})"
        parts.append(Part(label, statistic, effect, 0, False, secondary=beside, left_out=found.left_out))
    return parts


@paper_claim(
    "C1",
    "The decision boundary moves closer to natural images over training.",
    says=f"yes, on MNIST, Fashion-MNIST and CIFAR-10 ({IN_ABSTRACT})",
    whose=ABSTRACT,
    primary=True,
)
def boundary_approaches(evidence: Evidence) -> Verdict:
    """Standard training: the mean margin falls from the reference moment to the last, on all training images measured
    and on test images correct at both moments, in both norms."""
    parts = [
        part
        for split, subset in (("train", "all"), ("test", "correct"))
        for norm in NORMS
        for part in changed(evidence, "standard", norm, split, subset)
    ]
    return decide(parts, said(parts))


@paper_claim(
    "C2",
    "The boundary goes on approaching in late training, when the error is low already.",
    says=f"yes ({IN_ABSTRACT})",
    whose=ABSTRACT,
)
def approaches_late(evidence: Evidence) -> Verdict:
    """Standard training: the mean margin of training images falls from the first moment measured with 99 % training
    accuracy to the last, in both norms. Seeds that never reach 99 % are left out and counted."""
    statistic = "relative change of the mean margin since 99 % training accuracy"
    parts = [
        part
        for norm in NORMS
        for part in changed(evidence, "standard", norm, "train", since=accurate(0.99), statistic=statistic)
    ]
    return decide(parts, said(parts))


def matched_accuracy(evidence: Evidence) -> Since:
    """The moments at which a network has nine tenths of the smaller of the last training accuracies of standard and
    linf PGD training; none of a seed that lacks one of them."""
    history = [histories(evidence, training) for training in ("standard", "pgd linf")]
    levels = {
        seed: MATCHED * min(one[seed]["train_accuracy"].iloc[-1] for one in history)
        for seed in set.intersection(*(set(one) for one in history))
    }
    return lambda seed, rows: rows["train_accuracy"] >= levels.get(seed, np.inf)


def matched(evidence: Evidence, split: str, subset: str) -> tuple[list[Part], list[Part]]:
    """Standard and linf PGD training from the same training accuracy on, linf margins: the parts of PGD, by estimator,
    that its change is above standard training's and that its mean stays level; and those that standard's falls."""
    history = {training: histories(evidence, training) for training in ("standard", "pgd linf")}
    since = matched_accuracy(evidence)
    plain, pgd = (margin_rows(evidence, training=one, split=split, norm="linf") for one in history)
    parts, falls = [], []
    for name, beside in judged([name for name in plain if name in pgd]):
        standard = before_after(plain[name], history["standard"], since, subset)
        trained = before_after(pgd[name], history["pgd linf"], since, subset)
        both = joined(trained.frames, standard.frames)
        label = f"{split} {subset}, linf ({name})"
        slower = two_way(lambda m: (m[..., 1] / m[..., 0]) / (m[..., 3] / m[..., 2]), both, RATIO)
        level = two_way(change, trained.frames, CHANGE)
        fall = two_way(change, standard.frames, CHANGE)
        against = "factor of the mean margin under PGD over that under standard training"
        lost = left_out(standard=standard, PGD=trained)
        parts.append(Part(f"PGD against standard, {label}", against, slower, 1, True, 0.05, beside, lost))
        own = "relative change of the mean margin under PGD"
        parts.append(Part(f"PGD, {label}", own, level, LEVEL_FALL, True, 0.05, beside, trained.left_out))
        usual = "relative change of the mean margin in standard training"
        falls.append(Part(f"standard, {label}", usual, fall, 0, False, 0.05, True, standard.left_out))
    return parts, falls


def left_out(**samples: Sample) -> str:
    """In words, what has no value in each of these."""
    return in_a_cell(*(f"{what}: {sample.left_out}" for what, sample in samples.items() if sample.left_out))


def prevented(parts: list[Part], falls: list[Part]) -> Verdict:
    """The verdict on `matched` parts, undecided where standard training's margins do not fall."""
    if not parts:
        return not_run("needs standard and linf PGD training")
    # of each split the tight estimator's comes first, as among the parts
    judged_labels = {part.label.removeprefix("PGD, ") for part in parts if not part.secondary}
    decisive = [fall for fall in falls if fall.label.removeprefix("standard, ") in judged_labels]
    shown = ", ".join(f"{fall.label} {fall.effect}" for fall in decisive)
    unless = "" if all(fall.verdict == SUPPORTED for fall in decisive) else f"nothing to prevent is shown: {shown}"
    return decide([*parts, *falls], said(parts), unless=unless)


@paper_claim(
    "C3",
    "Adversarial training has the potential to prevent the approach.",
    says=f"it appears to have the potential ({IN_ABSTRACT})",
    whose=ABSTRACT,
)
def adversarial_training_prevents(evidence: Evidence) -> Verdict:
    """linf PGD training against standard training, linf margins of training images, from the first moment at which a
    network has nine tenths of the smaller of both last training accuracies: the mean margin's factor under PGD over
    standard training's is above 1, and PGD's own change is above -0.1. Undecided where standard training's fall since
    then is not shown."""
    return prevented(*matched(evidence, "train", "all"))


@paper_claim(
    "C4",
    "Training does not push the boundary away from the training data in all directions.",
    says=f"it is said to approach in at least some ({BY_OTHERS})",
    whose=SECONDARY,
)
def not_pushed_away(evidence: Evidence) -> Verdict:
    """Standard training: more than half of the training images are nearer to the boundary at the last moment than
    they were at the reference moment, in both norms. The distance along random directions is told beside it, of rays
    that meet a boundary at both moments."""
    history = histories(evidence, "standard")
    parts = []
    for norm in NORMS:
        for name, beside, rows in estimators(evidence, training="standard", split="train", norm=norm):
            found = before_after(rows, history)
            frames = {seed: (frame["after"] < frame["before"]).to_frame() for seed, frame in found.frames.items()}
            label, effect = f"train, {norm} ({name})", two_way(first, frames, RATE)
            statistic = "share of images nearer to the boundary than at the reference moment"
            parts.append(Part(label, statistic, effect, 0.5, True, secondary=beside, left_out=found.left_out))
    return decide([*parts, *_random_directions(evidence, history)], said(parts))


def _random_directions(evidence: Evidence, history: dict[int, pd.DataFrame]) -> list[Part]:
    rows = evidence.rows("directions", training="standard", study="main", split="train")
    if rows.empty:
        return []
    rays = rows.assign(index=rows["index"] * 1000 + rows["direction"], margin=rows["distance"])
    found = before_after(rays, history)
    logs = {seed: np.log(frame["after"] / frame["before"]).to_frame() for seed, frame in found.frames.items()}
    effect = two_way(lambda means: np.expm1(means[..., 0]), logs, CHANGE, "rays")
    statistic = "relative change of the distance, geometric mean over rays"
    left_out = found.left_out.replace("images without a margin", "rays without a boundary at one of the moments")
    return [Part("train, random directions, l2", statistic, effect, 0, False, secondary=True, left_out=left_out)]


@paper_claim(
    "C5",
    "Misclassified images lie markedly closer to the boundary than correctly classified ones.",
    says=f"yes ({BY_OTHERS})",
    whose=SECONDARY,
)
def misclassified_are_closer(evidence: Evidence) -> Verdict:
    """Test images at the last moment, both norms: mean margin of misclassified over that of correct images below 0.6
    in standard training and, where there is linf PGD training, below 1 in it. At least 20 images of either kind."""
    parts = []
    for training, bound in (("standard", 0.6), ("pgd linf", 1.0)):
        for norm in NORMS:
            for name, beside, rows in estimators(evidence, training=training, split="test", norm=norm):
                found = _by_correctness(at_end(rows))
                effect = two_way(lambda m: (m[..., 0] / m[..., 1]) / (m[..., 2] / m[..., 3]), found.frames, RATIO)
                label, statistic = f"{training}, {norm} ({name})", "mean margin of misclassified / of correct images"
                parts.append(Part(label, statistic, effect, bound, False, 0.05, beside, found.left_out))
    return decide(parts, said(parts))


def _by_correctness(ends: Frames) -> Sample:
    """Columns: margin of misclassified images (else 0), whether it is one, and the same of correct images."""
    sample = Sample()
    for seed, rows in ends.items():
        right = rows["correct"].astype(float)
        if min(right.sum(), (1 - right).sum()) < FEWEST_IMAGES:
            sample.drop(seed, f"fewer than {FEWEST_IMAGES} misclassified or correct images")
            continue
        sides = [(1 - right) * rows["margin"], 1 - right, right * rows["margin"], right]
        sample.frames[seed] = pd.concat(sides, axis=1)
    return sample


@paper_claim(
    "C6",
    "The distance is estimated by DeepFool: what is concluded from it does not depend on the estimator.",
    says=f"DeepFool is the estimator ({BY_OTHERS}); other estimators are our addition",
    whose=SECONDARY,
)
def independent_of_the_estimator(evidence: Evidence) -> Verdict:
    """Standard and linf PGD training, both splits with at least 100 images each, both norms: since the reference moment
    the log change of the mean margin by every other estimator is within 0.1 of DeepFool's on the same images."""
    parts = []
    for training in ("standard", "pgd linf"):
        history = histories(evidence, training)
        for split in ("train", "test"):
            for norm in NORMS:
                found = margin_rows(evidence, training=training, split=split, norm=norm)
                for name in found:
                    if name != PAPERS and PAPERS in found:
                        both = on_the_same(found[PAPERS], found[name], history)
                        parts += _within(f"{training}, {split}, {norm}, {name}", _checked(both))
    return decide(parts) if parts else not_run("no run has margins by another estimator beside DeepFool's")


def on_the_same(
    paper: pd.DataFrame, other: pd.DataFrame, history: Mapping[int, pd.DataFrame], since: Since = learnt
) -> Sample:
    """DeepFool's margins before and after, then the other's, at the other's moments and on its images."""
    keys = other[["seed", "step", "index"]]
    mine, theirs = before_after(paper.merge(keys), history, since), before_after(other, history, since)
    return Sample(joined(mine.frames, theirs.frames), theirs.reasons, theirs.num_unknown)


def _checked(both: Sample) -> Sample:
    """The same without seeds that have few images."""
    for seed in [seed for seed, frame in both.frames.items() if len(frame) < FEWEST_CHECKED]:
        del both.frames[seed]
        both.drop(seed, f"fewer than {FEWEST_CHECKED} images")
    return both


def _within(label: str, both: Sample) -> list[Part]:
    effect = two_way(lambda m: np.log(m[..., 3] / m[..., 2]) - np.log(m[..., 1] / m[..., 0]), both.frames, DIFFERENCE)
    statistic = "log change of the mean margin minus DeepFool's"
    return [
        Part(label, statistic, effect, bound, above, 0.0, False, both.left_out)
        for bound, above in ((LEVEL_FALL, True), (-LEVEL_FALL, False))
    ]


def standard_studies(evidence: Evidence) -> list[str]:
    """The studies of standard training: the main one and each control."""
    studies = sorted(set(evidence.rows("margins", training="standard")["study"]))
    controls = [study for study in studies if study.startswith("control")]
    return ["main", *controls] if "main" in studies else []


FEWEST_CONTROLS = 3


@paper_claim(
    "C7",
    "Adversarial training matters more to the margin than architecture, initialisation or optimiser.",
    says="low robustness is due to the training dynamics (a weak secondary source)",
    whose=SECONDARY,
)
def training_matters_most(evidence: Evidence) -> Verdict:
    """Mean linf margin of test images at the last moment: the factor between linf PGD and standard training, divided by
    the factor between the largest and the smallest of the standard runs with other initialisation, optimiser,
    architecture, schedule or weight decay (and the main ones), is above 1. At least three controls."""
    studies = standard_studies(evidence)
    if len(studies) <= FEWEST_CONTROLS:
        return not_run(f"needs linf PGD training and three controls; there are {max(len(studies) - 1, 0)}")
    where = {"split": "test", "norm": "linf"}
    controls = [margin_rows(evidence, training="standard", study=study, **where) for study in studies]
    parts = []
    trained = margin_rows(evidence, training="pgd linf", **where)
    for name, beside in judged([name for name in trained if all(name in one for one in controls)]):
        every = [at_end(one[name]) for one in (trained, *controls)]
        ends = [{seed: part[["margin"]] for seed, part in frames.items()} for frames in every]
        effect = two_way(_over_controls, joined(*ends), RATIO)
        statistic = "factor of PGD training over the factor among controls"
        parts.append(
            Part(f"test, linf ({name})", statistic, effect, 1, True, secondary=beside, left_out=unmatched(*ends))
        )
    return decide(parts, in_a_cell(said(parts), f"controls: {', '.join(studies[1:])}"))


def _over_controls(means: np.ndarray) -> np.ndarray:
    controls = means[..., 1:]
    return means[..., 0] / means[..., 1] / (controls.max(-1) / controls.min(-1))


def last_ratio(first_frames: Frames, second_frames: Frames) -> tuple[Effect, str]:
    """Mean margin of the first over the second's on the images and seeds that both have; which seeds one lacks."""
    sides = [{seed: part[["margin"]] for seed, part in frames.items()} for frames in (first_frames, second_frames)]
    return two_way(ratio, joined(*sides), RATIO), unmatched(*sides)
