"""Claims B1-B3 of mickisch2020, our own: how far margins over training are the estimator's, and what makes them fall.

The conventions are those of `mickisch2020`; the margins of B3 are those to first order, hence of no estimator.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.claim import OURS
from ..selection.effects import CHANGE, RATIO, Effect, two_way
from ..selection.evidence import Evidence
from ..selection.margin_changes import (
    PAPERS,
    TIGHT,
    Sample,
    Since,
    before_after,
    histories,
    joined,
    learnt,
    margin_rows,
)
from ..selection.verdicts import SUPPORTED, Part, Verdict, decide, not_run
from .mickisch2020 import NORMS, change, left_out, matched_accuracy, on_the_same, paper_claim

# a bias that changes by less than this is none
BIAS_BAND = 0.01
FACTORS = {"gradient_norm": "dual norm of the gap's gradient", "logit_gap": "logit gap"}
# the study whose networks are measured from both sides, where not all of the main one's are
BRACKET = "bracket"


@paper_claim(
    "B1",
    "DeepFool's bias grows over training, and more in adversarial training.",
    says="the paper has DeepFool alone",
    whose=OURS,
)
def the_bias_grows(evidence: Evidence) -> Verdict:
    """The bias is the mean of DeepFool's margins over the mean of walk's, of the same training images, both norms. In
    standard training its factor from the reference moment to the last is above 1. In linf PGD training its factor is
    above that in standard training, each from the first moment at which a network has nine tenths of the smaller of
    both last training accuracies. Band: 0.01."""
    parts = []
    since = matched_accuracy(evidence)
    for norm in NORMS:
        alone = _both_estimators(evidence, "standard", norm, learnt)
        if alone is None:
            continue
        effect = two_way(_growth, alone.frames, RATIO)
        statistic = "factor of DeepFool's bias since the reference moment"
        parts.append(Part(f"standard, {norm}", statistic, effect, 1, True, BIAS_BAND, left_out=alone.left_out))
        standard, pgd = (_both_estimators(evidence, one, norm, since) for one in ("standard", "pgd linf"))
        if standard is None or pgd is None:
            continue
        both = joined(pgd.frames, standard.frames)
        effect = two_way(lambda m: _growth(m[..., :4]) / _growth(m[..., 4:]), both, RATIO)
        statistic = "factor of DeepFool's bias under PGD over that in standard training"
        label, lost = f"PGD against standard, {norm}", left_out(standard=standard, PGD=pgd)
        parts.append(Part(label, statistic, effect, 1, True, BIAS_BAND, left_out=lost))
    return decide(parts) if parts else not_run("no run has margins by walk beside DeepFool's")


def _both_estimators(evidence: Evidence, training: str, norm: str, since: Since) -> Sample | None:
    """DeepFool's margins before and after, then walk's, of the images and moments that walk measured."""
    found = margin_rows(evidence, training=training, split="train", norm=norm)
    if PAPERS not in found or TIGHT not in found:
        return None
    return on_the_same(found[PAPERS], found[TIGHT], histories(evidence, training), since)


def _growth(means: np.ndarray) -> np.ndarray:
    """Of the means of DeepFool's margins before and after, then walk's: the bias after over the bias before."""
    found: np.ndarray = (means[..., 1] / means[..., 3]) / (means[..., 0] / means[..., 2])
    return found


@paper_claim(
    "B2",
    "The certified lower bound of the margin falls with the upper one: the approach is no artefact of the search.",
    says="the paper has upper bounds alone",
    whose=OURS,
)
def the_lower_bound_falls_too(evidence: Evidence) -> Verdict:
    """Standard training, of the main study or one called bracket, the training images that `margin=bracket` measured:
    the mean certified lower bound falls from the reference moment to the last, and so does the mean upper bound, in
    every norm measured."""
    parts = []
    for study in ("main", BRACKET):
        rows = evidence.rows("margins", training="standard", split="train", study=study, clipped=False)
        rows = rows[rows["estimator"] == "bracket"]
        history = histories(evidence, "standard", study)
        for norm, part in rows.groupby("norm", sort=True):
            for column, words in (("lower_bound", "certified lower bound"), ("margin", "upper bound")):
                found = before_after(_of_column(part, column), history)
                effect = two_way(change, found.frames, CHANGE)
                label = f"train, {norm}, {words}" if study == "main" else f"{study}, train, {norm}, {words}"
                statistic = f"relative change of the mean {words} since the reference moment"
                parts.append(Part(label, statistic, effect, 0, False, left_out=found.left_out))
    return (
        decide(parts)
        if parts
        else not_run("no run was trained with margin=bracket; what bdry margin measures so does not count")
    )


def _of_column(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The images with both bounds, `margin` being one of them."""
    usable = rows["success"].astype(bool) & rows["lower_bound"].notna()
    return rows.assign(margin=rows[column], success=usable)


@paper_claim(
    "B3",
    "Margins fall because the gradient of the logit gap grows: the gap grows too, but less.",
    says="what we could read does not split the margin",
    whose=OURS,
)
def the_gradient_drives_the_fall(evidence: Evidence) -> Verdict:
    """Standard training, all training images measured, both norms, from the reference moment to the last: the geometric
    mean over images of the dual norm of the gap's gradient at the image grows, and that of the logit gap of the nearest
    class grows too. The factor of the margin to first order, which is the gap's over the gradient norm's, is told
    beside it; where it is not shown to fall, the claim is undecided."""
    history = histories(evidence, "standard")
    parts, falls = [], []
    for norm in NORMS:
        rows = evidence.rows("first_order", training="standard", study="main", split="train", norm=norm)
        if rows.empty:
            continue
        statistic = "factor since the reference moment, geometric mean over images"
        for column, words in FACTORS.items():
            effect, lost = _factor(rows, column, history)
            parts.append(Part(f"train, {norm}, {words}", statistic, effect, 1, True, left_out=lost))
        effect, lost = _factor(rows, "margin", history)
        label = f"train, {norm}, margin to first order"
        falls.append(Part(label, statistic, effect, 1, False, secondary=True, left_out=lost))
    shown = ", ".join(f"{fall.label} {fall.effect}" for fall in falls)
    unless = "" if all(fall.verdict == SUPPORTED for fall in falls) else f"no fall is shown to explain: {shown}"
    return decide([*parts, *falls], unless=unless)


def _factor(rows: pd.DataFrame, column: str, history: dict[int, pd.DataFrame]) -> tuple[Effect, str]:
    """The factor by which a column grows, over the images with a gap and a gradient at both moments."""
    usable = (rows["logit_gap"] > 0) & (rows["gradient_norm"] > 0)
    found = before_after(rows.assign(margin=rows[column], success=usable), history)
    logs = {seed: np.log(frame["after"] / frame["before"]).to_frame() for seed, frame in found.frames.items()}
    return two_way(lambda means: np.exp(means[..., 0]), logs, RATIO), found.left_out
