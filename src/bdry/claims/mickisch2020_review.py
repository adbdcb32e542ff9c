"""Claims F1-F7 of mickisch2020 (arXiv 2002.01810): the findings that a published review reports.

The conventions are those of `mickisch2020`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.claim import SECONDARY
from ..selection.effects import CORRELATION, DIFFERENCE, RATE, first, over_seeds, two_way
from ..selection.evidence import Evidence
from ..selection.margin_changes import (
    FEWEST_IMAGES,
    Frames,
    Sample,
    at_end,
    histories,
    judged,
    learnt,
    margin_rows,
    moments,
)
from ..selection.verdicts import Part, Verdict, decide, not_run
from .mickisch2020 import (
    DATASETS,
    FEWEST_CONTROLS,
    NORMS,
    changed,
    estimators,
    last_ratio,
    matched,
    paper_claim,
    prevented,
    said,
    standard_studies,
)

REVIEW = "a published review"
FEWEST_MOMENTS = 4
# of the data set's budget, the radii at which robustness is looked at; the middle one decides
SHARES = (0.25, 0.5, 1.0)
DECISIVE = 0.5
LOW_ERROR = 0.8


@paper_claim(
    "F1",
    "The boundary approaches training and test images throughout training, also late.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
)
def approaches_throughout(evidence: Evidence) -> Verdict:
    """Standard training: Spearman's rank correlation of mean margin and epoch from the reference moment on is below 0,
    on training and on test images, in both norms. At least four moments."""
    history = histories(evidence, "standard")
    parts = []
    for split in ("train", "test"):
        for norm in NORMS:
            for name, beside, rows in estimators(evidence, training="standard", split=split, norm=norm):
                found = _curves(rows, history)
                label, effect = f"{split}, {norm} ({name})", two_way(_rank_trend, found.frames, CORRELATION)
                statistic = "rank correlation of mean margin and epoch since the reference moment"
                parts.append(Part(label, statistic, effect, 0, False, 0.05, beside, found.left_out))
    return decide(parts, said(parts))


def _curves(rows: pd.DataFrame, history: dict[int, pd.DataFrame]) -> Sample:
    """Of each seed the margins since the reference, a column a moment, of the images that have all."""
    sample = Sample()
    for seed, part in rows[rows["success"].astype(bool) & rows["margin"].notna()].groupby("seed"):
        steps = moments(part, history.get(seed), seed, learnt)
        if isinstance(steps, str) or len(steps) < FEWEST_MOMENTS:
            sample.drop(seed, steps if isinstance(steps, str) else f"fewer than {FEWEST_MOMENTS} moments")
            continue
        curves = part.pivot_table(index="index", columns="step", values="margin")[steps]
        sample.num_unknown += int(curves.isna().any(axis=1).sum())
        sample.frames[seed] = curves.dropna()
    return sample


def _rank_trend(means: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the columns' means with their order."""
    ranks = means.argsort(-1).argsort(-1)
    n = means.shape[-1]
    found: np.ndarray = 1 - 6 * np.square(ranks - np.arange(n)).sum(-1) / (n * (n**2 - 1))
    return found


@paper_claim(
    "F2",
    "Low error does not imply robustness.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
)
def low_error_is_not_robust(evidence: Evidence) -> Verdict:
    """Standard training at the last moment, at half of the data set's linf budget: the share of correct test images
    whose linf margin is at least that, an upper bound of robust over clean accuracy, is below one half. A quarter of
    the budget, the whole of it, and accuracy under PGD where it was logged are told beside it. Images without a
    margin count as robust. Undecided where test accuracy is below 80 %."""
    history = histories(evidence, "standard")
    budget = _budget(evidence, history)
    if budget is None:
        return not_run("no run says the data set's linf budget")
    parts = []
    where = {"training": "standard", "split": "test", "norm": "linf"}
    for name, beside, rows in estimators(evidence, **where):
        last = rows["step"] == rows.groupby("seed")["step"].transform("max")
        right = rows[last & rows["correct"].astype(bool)]
        unknown = ~right["success"].astype(bool) | right["margin"].isna()
        left_out = f"{unknown.sum()} images without a margin, counted as robust" if unknown.any() else ""
        for share in SHARES:
            is_robust = (right["margin"] >= share * budget) | unknown
            table = right.assign(robust=is_robust.astype(float))
            # a seed of which nothing is known says nothing
            enough = table.groupby("seed")["margin"].transform("count") >= FEWEST_IMAGES
            frames = {int(seed): part.set_index("index")[["robust"]] for seed, part in table[enough].groupby("seed")}
            label = f"eps {share * budget:.3g} ({name})"
            statistic = "share of correct images with at least this margin"
            told = beside or share != DECISIVE
            parts.append(Part(label, statistic, two_way(first, frames, RATE), 0.5, False, 0.05, told, left_out))
    attacked = _under_attack(history)
    if attacked:
        label = f"PGD linf, eps {budget:.3g}"
        effect = over_seeds(attacked, RATE)
        parts.append(Part(label, "accuracy under PGD / clean accuracy", effect, 0.5, False, secondary=True))
    clean = [rows["test_accuracy"].iloc[-1] for rows in history.values()]
    low = not clean or np.mean(clean) >= LOW_ERROR
    unless = "" if low else f"the error is not low: test accuracy {np.mean(clean):.1%}"
    return decide(parts, said(parts), unless=unless)


def _budget(evidence: Evidence, history: dict[int, pd.DataFrame]) -> float | None:
    """The linf radius that the data set is attacked with: as logged, or as the configs have it."""
    logged = [rows.loc[rows["robust_norm"] == "linf", "robust_eps"].dropna() for rows in history.values()]
    found = [float(one.iloc[-1]) for one in logged if len(one)]
    for config in evidence.configs.values():
        node = ((config.get("dataset") or {}).get("pgd") or {}).get("linf") or {}
        found += [float(node["eps"])] if node.get("eps") else []
    return found[0] if found else None


def _under_attack(history: dict[int, pd.DataFrame]) -> list[float]:
    found = []
    for rows in history.values():
        logged = rows[rows["robust_accuracy"].notna() & (rows["robust_norm"] == "linf")]
        found += [float(logged["robust_accuracy"].iloc[-1] / logged["test_accuracy"].iloc[-1])] if len(logged) else []
    return found


@paper_claim(
    "F3",
    "Under adversarial training correct images keep or widen their margin, while it falls in standard training.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
)
def correct_images_keep_their_margin(evidence: Evidence) -> Verdict:
    """As C3, of training and of test images, each correct at both moments."""
    found = [matched(evidence, split, "correct") for split in ("train", "test")]
    return prevented([part for parts, _ in found for part in parts], [fall for _, falls in found for fall in falls])


@paper_claim(
    "F4",
    "The margin of misclassified images keeps falling.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
)
def misclassified_keep_falling(evidence: Evidence) -> Verdict:
    """Mean margin of test images that are misclassified at the reference moment and at the last, in both norms: falls
    in standard training and, where there is any, in linf PGD training. At least 20 such images."""
    parts = [
        part
        for training in ("standard", "pgd linf")
        for norm in NORMS
        for part in changed(evidence, training, norm, "test", "incorrect")
    ]
    return decide(parts, said(parts))


@paper_claim(
    "F5",
    "On MNIST and Fashion-MNIST adversarial training transfers between l2 and linf.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
    needs=DATASETS[:2],
)
def transfers_between_norms(evidence: Evidence) -> Verdict:
    """Mean margin of test images at the last moment, PGD training over standard training: above 1 for l2 margins after
    linf PGD and for linf margins after l2 PGD. MNIST and Fashion-MNIST only."""
    if not set(evidence.datasets()) & {"mnist", "fashion_mnist"}:
        return not_run("the claim is about MNIST and Fashion-MNIST")
    parts = []
    for training, norm in (("pgd linf", "l2"), ("pgd l2", "linf")):
        standard = margin_rows(evidence, training="standard", split="test", norm=norm)
        transfer: dict[str, Frames] = {}
        for study in ("main", "transfer"):
            for name, rows in margin_rows(evidence, training=training, split="test", norm=norm, study=study).items():
                transfer.setdefault(name, {}).update(at_end(rows))
        if not standard or not transfer:
            return not_run("needs standard, linf PGD and l2 PGD training")
        for name, beside in judged([name for name in standard if name in transfer]):
            effect, left_out = last_ratio(transfer[name], at_end(standard[name]))
            label = f"{training} measured in {norm} ({name})"
            statistic = "mean test margin, PGD / standard training"
            parts.append(Part(label, statistic, effect, 1, True, 0.05, beside, left_out))
    return decide(parts, said(parts))


@paper_claim(
    "F6",
    "Predicted confidence and margin disagree, most for misclassified images: networks are poorly calibrated.",
    says=f"yes ({REVIEW})",
    whose=SECONDARY,
)
def confidence_disagrees(evidence: Evidence) -> Verdict:
    """Standard training, test images at the last moment: the rank correlation of confidence and l2 margin is smaller
    for misclassified than for correct images, and mean confidence exceeds accuracy. At least 20 misclassified
    images."""
    parts = []
    for name, beside, rows in estimators(evidence, training="standard", split="test", norm="l2"):
        ends = at_end(rows)
        found = _ranked(ends)
        effect = two_way(_difference_of_correlations, found.frames, DIFFERENCE)
        statistic = "rank correlation of confidence and margin, correct minus misclassified"
        parts.append(Part(f"test, l2 ({name})", statistic, effect, 0, True, 0.05, beside, found.left_out))
        if not beside:
            over = {
                seed: (part["confidence"] - part["correct"].astype(float)).to_frame() for seed, part in ends.items()
            }
            excess = two_way(first, over, DIFFERENCE)
            parts.append(Part("test, confidence", "mean confidence minus accuracy", excess, 0, True))
    return decide(parts, said([part for part in parts if "(" in part.label]))


def _ranked(ends: Frames) -> Sample:
    """Columns, of correct images and then of misclassified ones: whether it is one, and the ranks of confidence and
    margin with their squares and product; 0 for the others."""
    sample = Sample()
    for seed, rows in ends.items():
        right = rows["correct"].astype(bool)
        if min(right.sum(), (~right).sum()) < FEWEST_IMAGES:
            sample.drop(seed, f"fewer than {FEWEST_IMAGES} misclassified or correct images")
            continue
        columns = []
        for kind in (right, ~right):
            ranks = rows[kind][["confidence", "margin"]].rank(pct=True)
            a, b = (ranks[name].reindex(rows.index, fill_value=0.0) for name in ("confidence", "margin"))
            columns += [kind.astype(float), a, b, a * a, b * b, a * b]
        sample.frames[seed] = pd.concat(columns, axis=1)
    return sample


def _difference_of_correlations(means: np.ndarray) -> np.ndarray:
    found = []
    for at in (0, 6):
        n = means[..., at]
        a, b, aa, bb, ab = (means[..., at + i] / n for i in range(1, 6))
        found.append((ab - a * b) / np.sqrt((aa - a**2) * (bb - b**2)))
    difference: np.ndarray = found[0] - found[1]
    return difference


@paper_claim(
    "F7",
    "The approach comes from the training dynamics: it is seen over architectures and initialisations.",
    says=f"yes, over several architectures ({REVIEW})",
    whose=SECONDARY,
)
def seen_in_every_control(evidence: Evidence) -> Verdict:
    """Standard training of the main study and of at least three controls (initialisation, optimiser, architecture,
    schedule, weight decay): the mean margin of training images falls from the reference moment to the last, in both
    norms."""
    studies = standard_studies(evidence)
    if len(studies) <= FEWEST_CONTROLS:
        return not_run(f"needs at least three controls; there are {max(len(studies) - 1, 0)}")
    parts = [
        part
        for norm in NORMS
        for study in studies
        for part in changed(evidence, "standard", norm, "train", study=study)
    ]
    return decide(parts, said(parts))
