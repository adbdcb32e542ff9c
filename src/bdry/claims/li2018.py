"""The claims of li2018 (arXiv 1808.05385): C1 and C2 of its abstract and README, and the rates that the theory gives.

The rules are those of docs/verdicts.md and the same at every scale; bounds are ours (docs/papers/li2018.md, Bounds).
Only networks trained by SGD without weight decay are judged: Adam and weight decay have other limits. S1 is the
K-class hard-margin SVM with the bias penalised, the limit of gradient descent on the last layer. That frozen features
lead to S1 is a theorem in the limit: C1, C1m and R1 check the implementation. A layer whose steps end on the way is
censored: left out and counted, as are seeds whose features are not separable. Agreement of predictions and pictures
are never evidence, nor is the accelerated method, which is a solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..selection.claim import ABSTRACT, SECONDARY, THEORY, claim
from ..selection.effects import CORRELATION, DIFFERENCE, RATE, RATIO, Scale, over_seeds
from ..selection.evidence import Evidence
from ..selection.verdicts import Part, Verdict, decide, in_a_cell

NAMED = (("mnist", "resnet18"), ("mnist", "densenet40"), ("cifar10", "densenet40"))
paper_claim = partial(claim, "li2018", needs=NAMED)
CONTROL = "control: "
SOUDRY = "Soudry et al. 2018, not the paper"
# moments of whole training that a rank correlation needs
FEWEST_MOMENTS = 4
# the angle to S1 from which on the paper's comparators may be told from it, and within which rates in the limit hold
CLOSE = 10.0
# what a checkpoint must bring for a layer to be on its way still: of the angle this share, of the ratio this much
STILL_MOVES = 0.01
# how far a rate may be from the theory's
RATE_WITHIN = 0.25


def judged_rows(evidence: Evidence, table: str) -> pd.DataFrame:
    """The rows of judged networks."""
    rows = evidence.rows(table)
    judged = [experiment for experiment, config in evidence.configs.items() if _plain(config)]
    return rows[rows["experiment"].isin(judged) & ~rows["study"].astype(str).str.startswith(CONTROL)]


def _plain(config: dict[str, Any]) -> bool:
    """Whether gradient descent's limit is the L2 margin: SGD, no weight decay, no label smoothing."""
    optim, training = config.get("optim") or {}, config.get("training") or {}
    smoothing = training.get("label_smoothing") or 0
    return optim.get("name") == "sgd" and not optim.get("weight_decay") and not smoothing


def networks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each experiment's rows, called by its study."""
    several = rows.groupby("study")["experiment"].nunique() > 1 if len(rows) else {}
    for (study, run), part in rows.groupby(["study", "experiment"], sort=True):
        yield (f"{study} ({run.rpartition('-')[2]})" if several[study] else study), part


def part_of(
    label: str,
    statistic: str,
    values: pd.Series[float],
    bound: float,
    above: bool,
    left_out: str = "",
    *,
    scale: Scale = DIFFERENCE,
    band: float = 0.0,
    secondary: bool = False,
) -> Part:
    """A part over seeds; values that are no number are left out and counted."""
    missing = int((~np.isfinite(values.astype(float))).sum())
    said = in_a_cell(left_out, f"{missing} of {len(values)} seeds have no value" if missing else "")
    return Part(label, statistic, over_seeds(values, scale), bound, above, band, secondary, said)


def stage_ends(rows: pd.DataFrame, stage: str, variant: str = "S1") -> pd.DataFrame:
    """Of layers trained on from where the network left them, features as they are: each seed's last moment's end."""
    chosen = rows[(rows["stage"] == stage) & ~rows["fresh"].astype(bool) & ~rows["rescaled"].astype(bool)]
    ordered = chosen[chosen["variant"] == variant].sort_values(["step", "stage_step"])
    return ordered.groupby(["experiment", "seed"], as_index=False).tail(1)


def with_separable(ends: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Those with separable features, and in words how many have not."""
    is_separable = ends["separable"].astype(bool)
    lost = int((~is_separable).sum())
    return ends[is_separable], f"{lost} of {len(ends)} seeds have features that no layer separates" if lost else ""


def _reached(evidence: Evidence, column: str, statistic: str, bound: float, above: bool, scale: Scale) -> Verdict:
    """Where loss-scaled steps end; what is on its way there still is left out and counted."""
    rows, stage = judged_rows(evidence, "svm_convergence"), "last_only_loss_scaled"
    parts = []
    for name, part in networks(rows):
        every = stage_ends(part, stage)
        if every.empty:
            continue
        ends, lost = with_separable(every)
        moved = [one[column] - _before(part, stage, one, column) for one in ends.to_dict("records")]
        toward = np.array(moved) > STILL_MOVES if above else np.array(moved) < -STILL_MOVES * ends[column]
        arrived = ends[column] > bound if above else ends[column] < bound
        censored = (~arrived & toward).to_numpy(bool) if len(ends) else np.zeros(0, bool)
        sign = "<=" if not above else ">="
        words = f"{censored.sum()} of {len(every)} seeds end on the way ({sign} {ends[column][censored].mean():.3g})"
        left_out = in_a_cell(lost, words if censored.any() else "")
        parts.append(part_of(name, statistic, ends[column][~censored], bound, above, left_out, scale=scale))
    return decide(parts)


def _before(rows: pd.DataFrame, stage: str, end: dict[Any, Any], column: str) -> float:
    """The value at the checkpoint before a seed's end; nan where there is none."""
    own = rows[(rows["seed"] == end["seed"]) & (rows["step"] == end["step"]) & (rows["stage_step"] < end["stage_step"])]
    earlier = stage_ends(own, stage)
    return float(earlier[column].iloc[0]) if len(earlier) else np.nan


@paper_claim(
    "C1",
    "With the loss going to zero, the last layer's direction converges to a linear SVM on the last hidden outputs.",
    says="yes, under weak assumptions (abstract); which SVM is S1 by the theory",
    whose=ABSTRACT,
    can_fail=False,
)
def converges_to_the_svm(evidence: Evidence) -> Verdict:
    """Features frozen at the last moment, full-batch loss-scaled gradient steps from the trained layer: the angle to S1
    ends below 1 degree, up to rounding. Left out: seeds whose features are not separable, and those that are not there
    yet and still come nearer, by 1 % since the checkpoint before, when the steps end."""
    return _reached(evidence, "angle_full_deg", "final angle to S1 (degrees)", 1.001, False, RATIO)


@paper_claim(
    "C1m",
    "The last layer reaches the SVM's margin on frozen features.",
    says="follows from C1; the bound is ours",
    whose=THEORY,
    can_fail=False,
)
def reaches_the_margin(evidence: Evidence) -> Verdict:
    """As C1: the ratio of the layer's normalised margin to S1's ends above 0.99; left out where it still rises, by 0.01
    since the checkpoint before."""
    return _reached(evidence, "margin_ratio", "final margin ratio to S1", 0.99, True, DIFFERENCE)


def _late_correlation(column: str, sign: int) -> Callable[[pd.DataFrame], float]:
    def statistic(rows: pd.DataFrame) -> float:
        late = rows[(rows["n_times_loss"] < 1) & rows[column].notna() & rows["separable"].astype(bool)]
        if len(late) < FEWEST_MOMENTS:
            return np.nan
        return sign * float(late["w_norm_centred"].corr(late[column], method="spearman"))

    return statistic


@paper_claim(
    "C1w",
    "While the whole network trains, its last layer turns towards the SVM on its features.",
    says="yes, by pictures (README); the bound is ours",
    whose=SECONDARY,
    primary=True,
)
def turns_in_whole_training(evidence: Evidence) -> Verdict:
    """Moments of whole training with separable features and N loss < 1, at least 4: rank correlations with the layer's
    norm of the angle to S1, its sign reversed, and of the margin ratio are both above 0.9."""
    rows = judged_rows(evidence, "svm_convergence")
    rows = rows[(rows["stage"] == "whole") & (rows["variant"] == "S1") & ~rows["rescaled"].astype(bool)]
    parts = []
    for name, part in networks(rows):
        for what, column, sign in (("-angle", "angle_full_deg", -1), ("margin ratio", "margin_ratio", 1)):
            statistic = _late_correlation(column, sign)
            found = pd.Series([statistic(one) for _, one in part.groupby("seed", sort=True)])
            few = int(found.isna().sum())
            words = f"{few} seeds have fewer than {FEWEST_MOMENTS} separable moments with N loss < 1" if few else ""
            label = f"{name}, {what}"
            known = found.dropna()
            told = "rank correlation with the norm"
            parts.append(part_of(label, told, known, 0.9, True, words, scale=CORRELATION, band=0.05))
    return decide(parts)


@paper_claim(
    "C2",
    "Training the whole network puts the boundary nearer to midway between classes than its last layer trained alone.",
    says="yes (abstract, README); run-dependent in our pilot, hence a hypothesis",
    whose=ABSTRACT,
)
def whole_training_has_the_better_bias(evidence: Evidence) -> Verdict:
    """A fresh last layer on the frozen features, the run's optimiser and epochs. |beta - 0.5|, median over class
    pairs, of that layer minus the whole network's, is above 0 (band: 0.02). Beside it both arms' state of
    convergence."""
    bias, rows = judged_rows(evidence, "svm_bias"), judged_rows(evidence, "svm_convergence")
    bias = bias[~bias["rescaled"].astype(bool)]
    bias = bias.assign(off=(bias["beta_nn"] - 0.5).abs())
    parts, states = [], []
    for name, part in networks(bias):
        whole, alone = _medians(part[part["stage"] == "whole"]), _medians(_fresh_ends(part, "last_only"))
        both = (alone - whole).dropna()
        values = both.groupby("seed").last()
        lost = part["seed"].nunique() - len(values)
        words = f"{lost} of {part['seed'].nunique()} seeds lack one of the two" if lost else ""
        statistic = "|beta - 0.5| of the last layer alone minus the whole network's"
        parts.append(part_of(name, statistic, values, 0, True, words, band=0.02))
        states.append(f"{name}: {_state(rows[rows['experiment'] == part['experiment'].iloc[0]])}")
    return decide(parts, "; ".join(states))


def _medians(rows: pd.DataFrame) -> pd.Series:
    medians: pd.Series = rows.groupby(["seed", "step"])["off"].median()
    return medians


def _fresh_ends(rows: pd.DataFrame, stage: str) -> pd.DataFrame:
    """The last checkpoint of each seed and moment of a fresh layer's training."""
    chosen = rows[(rows["stage"] == stage) & rows["fresh"].astype(bool)]
    return chosen[chosen["stage_step"] == chosen.groupby(["seed", "step"])["stage_step"].transform("max")]


def _state(rows: pd.DataFrame) -> str:
    """Mean angle to S1 and N loss of both arms, in words."""
    rows = rows[(rows["variant"] == "S1") & ~rows["rescaled"].astype(bool)]
    alone = _fresh_ends(rows, "last_only")
    whole = rows[rows["stage"] == "whole"].merge(alone[["seed", "step"]].drop_duplicates())
    return ", ".join(
        f"{name} at {part['angle_full_deg'].mean():.3g} degrees, N loss {part['n_times_loss'].mean():.3g}"
        for name, part in (("whole", whole), ("alone", alone))
        if len(part)
    )


def _fits(evidence: Evidence, stage: str) -> pd.DataFrame:
    rows = judged_rows(evidence, "svm_rate_fit")
    chosen = rows[(rows["stage"] == stage) & ~rows["fresh"].astype(bool) & ~rows["rescaled"].astype(bool)]
    return chosen[chosen["step"] == chosen.groupby(["experiment", "seed"])["step"].transform("max")]


@paper_claim(
    "R1",
    "On frozen features the angle to the SVM falls as 1 / the layer's norm.",
    says=f"follows from w = w_svm ln t + bounded ({SOUDRY})",
    whose=THEORY,
    can_fail=False,
)
def angle_falls_with_the_norm(evidence: Evidence) -> Verdict:
    """Loss-scaled steps from the trained layer, later half of the checkpoints: angle = c / norm fits with an R2 above
    0.9."""
    fits = _fits(evidence, "last_only_loss_scaled")
    return decide(
        [part_of(name, "R2 of angle = c / norm", fit["r2"], 0.9, True, scale=RATE) for name, fit in networks(fits)]
    )


def _in_the_limit(evidence: Evidence) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Fits of plain steps that end within 10 degrees of S1, and how many end before: their budget is no limit."""
    rows = judged_rows(evidence, "svm_convergence")
    ends, _ = with_separable(stage_ends(rows, "last_only"))
    near = set(ends.loc[ends["angle_full_deg"] < CLOSE, ["experiment", "seed"]].itertuples(index=False, name=None))
    for name, fit in networks(_fits(evidence, "last_only")):
        is_near = [one in near for one in fit[["experiment", "seed"]].itertuples(index=False, name=None)]
        lost = len(fit) - sum(is_near)
        words = f"{lost} of {len(fit)} seeds: steps end more than {CLOSE:g} degrees from S1, before rates hold"
        yield name, fit[is_near], words if lost else ""


@paper_claim(
    "R2",
    "On frozen features the loss of plain steps falls as 1 / t.",
    says=f"yes ({SOUDRY})",
    whose=THEORY,
)
def loss_falls_with_time(evidence: Evidence) -> Verdict:
    """Plain full-batch steps (momentum) from the trained layer, later half of the checkpoints: the slope of log loss by
    log t is within 0.25 of -1. Seeds whose steps end more than 10 degrees from S1 are left out: there the rate does not
    hold yet."""
    statistic = "slope of log loss by log t"
    return decide(
        [
            part_of(name, statistic, fit["log_loss_per_log_step"], -1 + side * RATE_WITHIN, side < 0, words)
            for name, fit, words in _in_the_limit(evidence)
            for side in (-1, 1)
        ]
    )


@paper_claim(
    "R3",
    "On frozen features the norm grows as the SVM's norm times ln t.",
    says=f"yes ({SOUDRY})",
    whose=THEORY,
)
def norm_grows_with_log_time(evidence: Evidence) -> Verdict:
    """As R2: the slope of the norm by ln t is within a quarter of the norm of S1 with margin 1."""
    statistic = "slope of the norm by ln t / S1's norm"
    return decide(
        [
            part_of(
                name, statistic, fit["norm_per_log_step"] / fit["svm_norm"], 1 + side * RATE_WITHIN, side < 0, words
            )
            for name, fit, words in _in_the_limit(evidence)
            for side in (-1, 1)
        ]
    )


@paper_claim(
    "R4",
    "Plain steps are slow: after as many steps they are farther from the SVM than loss-scaled ones.",
    says=f"yes, O(1 / log t) ({SOUDRY})",
    whose=THEORY,
)
def plain_steps_are_slow(evidence: Evidence) -> Verdict:
    """Both from the trained layer on frozen features with the same bound on steps: the final angle to S1 of plain steps
    (momentum) minus that of loss-scaled ones is above 0 (band: 1 degree)."""
    rows = judged_rows(evidence, "svm_convergence")
    parts = []
    for name, part in networks(rows):
        plain, lost = with_separable(stage_ends(part, "last_only"))
        scaled, _ = with_separable(stage_ends(part, "last_only_loss_scaled"))
        both = plain.merge(scaled, on=["seed", "step"], suffixes=("", "_scaled"))
        if len(both):
            slower = both["angle_full_deg"] - both["angle_full_deg_scaled"]
            parts.append(part_of(name, "difference of final angles to S1 (degrees)", slower, 0, True, lost, band=1.0))
    return decide(parts)
