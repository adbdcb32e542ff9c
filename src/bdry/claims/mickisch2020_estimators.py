"""Claims B1 and B2 of mickisch2020, our own: how far margins over training are the estimator's.

The conventions are those of `mickisch2020`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.claim import OURS, claim
from ..selection.effects import CHANGE, RATIO, two_way
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
from ..selection.verdicts import Part, Verdict, decide, not_run
from .mickisch2020 import DATASETS, NORMS, PAPER, change, matched_accuracy

# a bias that changes by less than this is none
BIAS_BAND = 0.01
# the study whose networks are measured from both sides, where not all of the main one's are
BRACKET = "bracket"


@claim(
    PAPER,
    "B1",
    "DeepFool's bias grows over training, and more in adversarial training.",
    says="the paper has DeepFool alone",
    whose=OURS,
    needs=DATASETS,
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
        left_out = "; ".join(
            f"{what}: {one.left_out}" for what, one in (("standard", standard), ("PGD", pgd)) if one.left_out
        )
        parts.append(Part(f"PGD against standard, {norm}", statistic, effect, 1, True, BIAS_BAND, left_out=left_out))
    return decide(parts) if parts else not_run("no run has margins by walk beside DeepFool's")


def _both_estimators(evidence: Evidence, training: str, norm: str, since: Since) -> Sample | None:
    """DeepFool's margins before and after, then walk's, of the images and moments that walk measured."""
    found = margin_rows(evidence, training=training, split="train", norm=norm)
    if PAPERS not in found or TIGHT not in found:
        return None
    history = histories(evidence, training)
    keys = found[TIGHT][["seed", "step", "index"]]
    mine, tight = (before_after(rows, history, since) for rows in (found[PAPERS].merge(keys), found[TIGHT]))
    return Sample(joined(mine.frames, tight.frames), tight.reasons, tight.num_unknown)


def _growth(means: np.ndarray) -> np.ndarray:
    """Of the means of DeepFool's margins before and after, then walk's: the bias after over the bias before."""
    found: np.ndarray = (means[..., 1] / means[..., 3]) / (means[..., 0] / means[..., 2])
    return found


@claim(
    PAPER,
    "B2",
    "The certified lower bound of the margin falls with the upper one: the approach is no artefact of the search.",
    says="the paper has upper bounds alone",
    whose=OURS,
    needs=DATASETS,
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
    return decide(parts) if parts else not_run("no run was measured with margin=bracket")


def _of_column(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The images with both bounds, `margin` being one of them."""
    usable = rows["success"].astype(bool) & rows["lower_bound"].notna()
    return rows.assign(margin=rows[column], success=usable)
