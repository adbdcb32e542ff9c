"""The claims of li2018 (arXiv 1808.05385): C1 and C2 of its abstract and README, and the rates that the theory gives.

The rules were written before any number was known but for one exception, and are the same at every scale; bounds are
ours (docs/papers/li2018.md, Bounds). The exception: C1 and C1m call a layer that still moves towards S1
when its steps end "not tested" since a first run on digits, where it had been "does not hold": such
a layer is not there yet. Only networks trained by SGD without weight decay are judged: Adam and weight decay have other
limits. S1 is the K-class hard-margin SVM with the bias penalised, the limit of gradient descent on the last layer.
Agreement of predictions and pictures are never evidence, nor is the accelerated method, which is a solver.
Interval: 95 % over seeds, see `selection.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..selection.evidence import Evidence
from ..selection.intervals import Estimate, over_seeds
from ..selection.verdicts import FAILS, HOLDS, UNTESTED, Verdict, claim, decide, not_tested

PAPER = "li2018"
CONTROL = "control: "
THEORY = "Soudry et al. 2018, not the paper"
# moments of whole training that a rank correlation needs
FEWEST_MOMENTS = 4
# the angle to S1 from which on the paper's comparators may be told from it
CLOSE = 10.0

# what a checkpoint must bring for a layer to be on its way still: of the angle this share, of the ratio this much
STILL_MOVES = 0.01


def _rows(evidence: Evidence, table: str) -> pd.DataFrame:
    """The rows of judged networks."""
    rows = evidence.rows(table)
    judged = [experiment for experiment, config in evidence.configs.items() if _plain(config)]
    return rows[rows["experiment"].isin(judged) & ~rows["study"].astype(str).str.startswith(CONTROL)]


def _plain(config: dict[str, Any]) -> bool:
    """Whether gradient descent's limit is the L2 margin: SGD, no weight decay, no label smoothing."""
    optim, training = config.get("optim") or {}, config.get("training") or {}
    smoothing = training.get("label_smoothing") or 0
    return optim.get("name") == "sgd" and not optim.get("weight_decay") and not smoothing


def _networks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each experiment's rows, called by its study."""
    several = rows.groupby("study")["experiment"].nunique() > 1 if len(rows) else {}
    for (study, run), part in rows.groupby(["study", "experiment"], sort=True):
        yield (f"{study} ({run.rpartition('-')[2]})" if several[study] else study), part


def _each_seed(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> Estimate:
    found = [statistic(part) for _, part in rows.groupby("seed", sort=True)]
    return over_seeds([value for value in found if np.isfinite(value)])


def _frozen(rows: pd.DataFrame, stage: str, variant: str = "S1") -> pd.DataFrame:
    """Of layers trained on from where the network left them, features as they are: each seed's last moment's end."""
    chosen = rows[(rows["stage"] == stage) & ~rows["fresh"].astype(bool) & ~rows["rescaled"].astype(bool)]
    chosen = chosen[(chosen["variant"] == variant) & chosen["separable"].astype(bool)]
    ordered = chosen.sort_values(["step", "stage_step"])
    return ordered.groupby(["experiment", "seed"], as_index=False).tail(1)


def _reached(evidence: Evidence, column: str, statistic: str, **side: float) -> Verdict:
    """`decide` on where loss-scaled steps end; what is on its way there still is not tested."""
    rows = _rows(evidence, "svm_convergence")
    ends = _frozen(rows, "last_only_loss_scaled")
    verdict = decide([(name, over_seeds(part[column].tolist())) for name, part in _networks(ends)], statistic, **side)
    earlier = rows.merge(
        ends[["experiment", "seed", "step", "stage_step"]], on=["experiment", "seed", "step"], suffixes=("", "_end")
    )
    before = _frozen(earlier[earlier["stage_step"] < earlier["stage_step_end"]], "last_only_loss_scaled")
    both = ends.merge(before, on=["experiment", "seed"], suffixes=("", "_before"))
    moved = both[column] - both[f"{column}_before"]
    toward = moved > STILL_MOVES if "above" in side else moved < -STILL_MOVES * both[f"{column}_before"]
    arrived = both[column] > side["above"] if "above" in side else both[column] < side["below"]
    if verdict.verdict == FAILS and len(both) == len(ends) and bool((arrived | toward).all()):
        reason = f"unconverged: it still moves there when the steps end; {verdict.reason}"
        return Verdict(UNTESTED, reason, verdict.statistic, verdict.estimate)
    return verdict


@claim(
    PAPER,
    "C1",
    "With the loss going to zero, the last layer's direction converges to a linear SVM on the last hidden outputs.",
    says="yes, under weak assumptions (abstract); which SVM is S1 by the theory",
)
def converges_to_the_svm(evidence: Evidence) -> Verdict:
    """Features frozen at the last moment, full-batch loss-scaled gradient steps from the trained layer: the angle to S1
    ends at or below 1 degree, up to rounding. Not tested where the features are not separable, or where every seed that
    is not there yet still comes nearer, by 1 % since the checkpoint before, when the steps end."""
    return _reached(evidence, "angle_full_deg", "final angle to S1 (degrees)", below=1.001)


@claim(
    PAPER,
    "C1m",
    "The last layer reaches the SVM's margin on frozen features.",
    says="follows from C1; the bound is ours",
)
def reaches_the_margin(evidence: Evidence) -> Verdict:
    """As C1: the ratio of the layer's normalised margin to S1's ends above 0.99; not tested where it still rises, by
    0.01 since the checkpoint before."""
    return _reached(evidence, "margin_ratio", "final margin ratio to S1", above=0.99)


def _late_correlation(column: str, sign: int) -> Callable[[pd.DataFrame], float]:
    def statistic(rows: pd.DataFrame) -> float:
        late = rows[(rows["n_times_loss"] < 1) & rows[column].notna()]
        if len(late) < FEWEST_MOMENTS:
            return np.nan
        return sign * float(late["w_norm_centred"].corr(late[column], method="spearman"))

    return statistic


@claim(
    PAPER,
    "C1w",
    "While the whole network trains, its last layer turns towards the SVM on its features.",
    says="yes, by pictures (README); the bound is ours",
)
def turns_in_whole_training(evidence: Evidence) -> Verdict:
    """Moments of whole training with N loss < 1, at least 4: rank correlations with the layer's norm of the angle to
    S1, its sign reversed, and of the margin ratio are both above 0.9."""
    rows = _rows(evidence, "svm_convergence")
    rows = rows[(rows["stage"] == "whole") & (rows["variant"] == "S1") & ~rows["rescaled"].astype(bool)]
    parts = []
    for name, part in _networks(rows):
        for what, column, sign in (("-angle", "angle_full_deg", -1), ("margin ratio", "margin_ratio", 1)):
            found = _each_seed(part, _late_correlation(column, sign))
            if np.isfinite(found.value):
                parts.append((f"{name}, {what}", found))
    if not parts:
        return not_tested(f"no run has {FEWEST_MOMENTS} separable moments with N loss < 1")
    return decide(parts, "rank correlation with the norm", above=0.9)


@claim(
    PAPER,
    "C2",
    "Training the whole network puts the boundary nearer to midway between classes than its last layer trained alone.",
    says="yes (abstract, README); run-dependent in our pilot, hence a hypothesis",
)
def whole_training_has_the_better_bias(evidence: Evidence) -> Verdict:
    """A fresh last layer on the frozen features, the run's optimiser and epochs. |beta - 0.5|, median over class
    pairs, of that layer minus the whole network's: holds where the interval over seeds is above 0, does not
    hold where it is below 0, and where it includes 0 this cannot be said. Beside it both arms' state of convergence."""
    bias, rows = _rows(evidence, "svm_bias"), _rows(evidence, "svm_convergence")
    bias = bias[~bias["rescaled"].astype(bool)]
    bias = bias.assign(off=(bias["beta_nn"] - 0.5).abs())
    found = []
    for name, part in _networks(bias):
        whole, alone = _medians(part[part["stage"] == "whole"]), _medians(_fresh_ends(part, "last_only"))
        both = alone.index.intersection(whole.index)
        if len(both):
            state = _state(rows[rows["experiment"] == part["experiment"].iloc[0]])
            seeds = list(dict.fromkeys(both.get_level_values("seed")))
            values = [float((alone[both] - whole[both]).xs(seed, level="seed").iloc[-1]) for seed in seeds]
            found.append((name, over_seeds(values), state))
    if not found:
        return not_tested("needs bdry svm study=bias on separable features")
    listed = "; ".join(f"{name}: {estimate} ({state})" for name, estimate, state in found)
    unknown = [name for name, estimate, _ in found if not estimate.known]
    if unknown:
        return not_tested(f"no interval for {', '.join(unknown)} (too few seeds); {listed}")
    statistic = "|beta - 0.5| of the last layer alone minus the whole network's"
    name, weakest, _ = min(found, key=lambda one: one[1].low)
    if weakest.low > 0:
        return Verdict(HOLDS, listed, f"{statistic} ({name})", weakest)
    if weakest.high < 0:
        return Verdict(FAILS, listed, f"{statistic} ({name})", weakest)
    return Verdict(UNTESTED, f"undecided, an interval includes 0: {listed}", f"{statistic} ({name})", weakest)


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
    rows = _rows(evidence, "svm_rate_fit")
    chosen = rows[(rows["stage"] == stage) & ~rows["fresh"].astype(bool) & ~rows["rescaled"].astype(bool)]
    return chosen[chosen["step"] == chosen.groupby(["experiment", "seed"])["step"].transform("max")]


@claim(
    PAPER,
    "R1",
    "On frozen features the angle to the SVM falls as 1 / the layer's norm.",
    says=f"follows from w = w_svm ln t + bounded ({THEORY})",
)
def angle_falls_with_the_norm(evidence: Evidence) -> Verdict:
    """Loss-scaled steps from the trained layer, later half of the checkpoints: angle = c / norm fits with an R2 above
    0.9."""
    fits = _fits(evidence, "last_only_loss_scaled")
    parts = [(name, over_seeds(fit["r2"].tolist())) for name, fit in _networks(fits)]
    return decide(parts, "R2 of angle = c / norm", above=0.9)


@claim(PAPER, "R2", "On frozen features the loss of plain steps falls as 1 / t.", says=f"yes ({THEORY})")
def loss_falls_with_time(evidence: Evidence) -> Verdict:
    """Plain full-batch steps (momentum) from the trained layer, later half of the checkpoints: the slope of log loss by
    log t is within 0.25 of -1."""
    parts = [
        (name, over_seeds((fit["log_loss_per_log_step"] + 1).abs().tolist()))
        for name, fit in _networks(_fits(evidence, "last_only"))
    ]
    return decide(parts, "distance of the slope from -1", below=0.25)


@claim(PAPER, "R3", "On frozen features the norm grows as the SVM's norm times ln t.", says=f"yes ({THEORY})")
def norm_grows_with_log_time(evidence: Evidence) -> Verdict:
    """Plain full-batch steps (momentum) from the trained layer, later half of the checkpoints: the slope of the norm by
    ln t is within a quarter of the norm of S1 with margin 1."""
    parts = [
        (name, over_seeds((fit["norm_per_log_step"] / fit["svm_norm"] - 1).abs().tolist()))
        for name, fit in _networks(_fits(evidence, "last_only"))
    ]
    return decide(parts, "relative distance of the slope from S1's norm", below=0.25)


@claim(
    PAPER,
    "R4",
    "Plain steps are slow: after as many steps they are farther from the SVM than loss-scaled ones.",
    says=f"yes, O(1 / log t) ({THEORY})",
)
def plain_steps_are_slow(evidence: Evidence) -> Verdict:
    """Both from the trained layer on frozen features with the same bound on steps: the final angle to S1 of plain steps
    (momentum) minus that of loss-scaled ones is above 0."""
    rows = _rows(evidence, "svm_convergence")
    plain, scaled = (_frozen(rows, stage) for stage in ("last_only", "last_only_loss_scaled"))
    both = plain.merge(scaled, on=["study", "experiment", "seed", "step"], suffixes=("", "_scaled"))
    both = both.assign(slower=both["angle_full_deg"] - both["angle_full_deg_scaled"])
    parts = [(name, over_seeds(part["slower"].tolist())) for name, part in _networks(both)]
    return decide(parts, "difference of final angles to S1 (degrees)", above=0)


@claim(
    PAPER,
    "S",
    "Of the SVMs, S1 is the limit: the paper's own comparators stay farther away.",
    says="no: the paper compares with SVC and one-vs-rest (authors' code)",
)
def the_papers_svm_is_not_the_limit(evidence: Evidence) -> Verdict:
    """Where loss-scaled steps on frozen features end within 10 degrees of S1: the angle to SVC or one-vs-rest minus
    that to S1 is above 0."""
    rows = _rows(evidence, "svm_convergence")
    s1 = _frozen(rows, "last_only_loss_scaled")
    s1 = s1[s1["angle_full_deg"] < CLOSE]
    theirs = rows[rows["variant"].isin(["SVC", "OvR"])]
    keys = ["study", "experiment", "seed", "step", "stage", "fresh", "rescaled", "stage_step"]
    both = s1.merge(theirs, on=keys, suffixes=("", "_theirs"))
    both = both.assign(farther=both["angle_full_deg_theirs"] - both["angle_full_deg"])
    parts = [(name, over_seeds(part["farther"].tolist())) for name, part in _networks(both)]
    return decide(parts, "angle to the paper's SVM minus angle to S1 (degrees)", above=0)
