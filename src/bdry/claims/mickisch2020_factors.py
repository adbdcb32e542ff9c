"""Claim B3 of mickisch2020, our own: what the margins' fall is made of.

The conventions are those of `mickisch2020`; margins are those to first order, hence of no estimator.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..selection.claim import OURS, claim
from ..selection.effects import RATIO, Effect, two_way
from ..selection.evidence import Evidence
from ..selection.margin_changes import Sample, before_after, histories
from ..selection.verdicts import SUPPORTED, Part, Verdict, decide
from .mickisch2020 import DATASETS, NORMS, PAPER

FACTORS = {"gradient_norm": "dual norm of the gap's gradient", "logit_gap": "logit gap"}


@claim(
    PAPER,
    "B3",
    "Margins fall because the gradient of the logit gap grows: the gap grows too, but less.",
    says="what we could read does not split the margin",
    whose=OURS,
    needs=DATASETS,
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
            effect, left_out = _factor(rows, column, history)
            parts.append(Part(f"train, {norm}, {words}", statistic, effect, 1, True, left_out=left_out))
        effect, left_out = _factor(rows, "margin", history)
        label = f"train, {norm}, margin to first order"
        falls.append(Part(label, statistic, effect, 1, False, secondary=True, left_out=left_out))
    shown = ", ".join(f"{fall.label} {fall.effect}" for fall in falls)
    unless = "" if all(fall.verdict == SUPPORTED for fall in falls) else f"no fall is shown to explain: {shown}"
    return decide([*parts, *falls], unless=unless)


def _factor(rows: pd.DataFrame, column: str, history: dict[int, pd.DataFrame]) -> tuple[Effect, str]:
    """The factor by which a column grows, over the images with a gap and a gradient at both moments."""
    usable = (rows["logit_gap"] > 0) & (rows["gradient_norm"] > 0)
    found: Sample = before_after(rows.assign(margin=rows[column], success=usable), history)
    logs = {seed: np.log(frame["after"] / frame["before"]).to_frame() for seed, frame in found.frames.items()}
    return two_way(lambda means: np.exp(means[..., 0]), logs, RATIO), found.left_out
