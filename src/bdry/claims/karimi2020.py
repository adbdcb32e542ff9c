"""The claims of karimi2020 (DeepDIG, arXiv 1912.11460), and what our pilot lets expect.

Of the paper only abstract, introduction and the first captions could be read, and none of its numbers: a claim says
"abstract" where it is there, else "expectation" (docs/papers/karimi2020.md, from measurements of a small subset). The
rules were written before any number of this project was known, and are the same at every scale. A part is an
architecture of the main study; its sample is the ordered pairs of classes that all its seeds have, but those whose
autoencoders failed. Interval: 95 %, over seeds, with one seed over ordered pairs; see `selection.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ..selection.evidence import Evidence
from ..selection.intervals import Estimate, estimate, proportion
from ..selection.verdicts import FAILS, HOLDS, Verdict, claim, decide, not_tested

PAPER = "karimi2020"
ABSTRACT = "abstract"
EXPECTED = "an expectation, not read in the paper"
PAIR = ["source", "target"]
# 85 of 90 ordered pairs: docs/papers/karimi2020.md, Expectations
SHARE_OF_PAIRS = 85 / 90

Samples = dict[int, pd.DataFrame]
Parts = list[tuple[str, Estimate]]


def rows(evidence: Evidence, table: str) -> pd.DataFrame:
    """A table of the main study, at each run's last moment."""
    found = evidence.rows(table, study="main")
    return found[found["step"] == found.groupby(["experiment", "seed"])["step"].transform("max")]


def main_rows(evidence: Evidence, table: str) -> pd.DataFrame:
    """Those of the alpha and grid that the measurements' configs have for their main ones; the others are sweeps."""
    found = rows(evidence, table)
    for column in ("is_main_alpha", "is_main_grid"):
        found = found[found[column].astype(bool)] if column in found else found
    return found


def generation(evidence: Evidence) -> pd.DataFrame:
    """The table `generation` at the main alpha, without pairs whose autoencoders failed."""
    found = main_rows(evidence, "generation")
    return found[found["status"] == "ok"]


def oscillation(evidence: Evidence) -> pd.DataFrame:
    """The table `idc` at the main alpha and grid, where there were segments."""
    found = main_rows(evidence, "idc")
    return found[found["flips"].notna()]


def wide(found: pd.DataFrame, value: str, column: str = "method") -> dict[str, Samples]:
    """For each architecture a frame a seed: a row an ordered pair, `value` of each `column`.

    Pairs that not all the architecture's seeds have are left out.
    """
    samples: dict[str, Samples] = {}
    for arch, part in found.groupby("arch", sort=True):
        frames = {
            seed: rows.pivot_table(index=PAIR, columns=column, values=value, aggfunc="first")
            for seed, rows in part.groupby("seed")
        }
        common = sorted(set.intersection(*(set(frame.index) for frame in frames.values())))
        samples[arch] = {seed: frame.loc[common] for seed, frame in frames.items()}
    return samples


def over_pairs(samples: dict[str, Samples], needs: list[str], statistic: Callable[[pd.DataFrame], float]) -> Parts:
    """The estimate of `statistic` of each architecture whose seeds all have the columns `needs` for some pair."""
    parts = []
    for arch, frames in samples.items():
        whole = {seed: frame.dropna(subset=needs) for seed, frame in frames.items() if set(needs) <= set(frame)}
        whole = {seed: frame for seed, frame in whole.items() if len(frame)}
        if whole:
            parts.append((arch, _over_pairs(estimate(statistic, whole))))
    return parts


def _over_pairs(found: Estimate) -> Estimate:
    """The same, saying that its samples were pairs."""
    return replace(found, over=found.over.replace("images", "ordered pairs"))


@claim(
    PAPER,
    "K1",
    "DeepDIG finds an instance near the boundary between two classes from nearly every image of either.",
    says=f"it is proposed for that ({ABSTRACT}); the number is {EXPECTED}",
)
def nearly_always_succeeds(evidence: Evidence) -> Verdict:
    """Borderline instances over correctly predicted source images (success rate times coverage), mean over ordered
    pairs: above 0.9. Failed pairs count as 0 here. A success has |p_s - p_t| below beta and s or t as its class."""
    found = main_rows(evidence, "generation")
    found = found[found["num_correct"] > 0]
    found = found.assign(share=found["num_success"] / found["num_correct"])
    parts = over_pairs(wide(found, "share"), ["deepdig"], lambda frame: float(frame["deepdig"].mean()))
    return decide(parts, "borderline instances an image, mean over pairs", above=0.9)


@claim(
    PAPER,
    "K2",
    "It succeeds more often than bisection between random real images of both classes (RPBS).",
    says=f"RPBS and EPBS are its baselines (code); the direction is {EXPECTED}, and none is expected for every pair",
)
def better_than_random_pairs(evidence: Evidence) -> Verdict:
    """Success rate of deepdig minus that of rpbs, mean over ordered pairs: above 0."""
    samples = wide(generation(evidence), "success_rate")
    parts = over_pairs(samples, ["deepdig", "rpbs"], lambda frame: float((frame["deepdig"] - frame["rpbs"]).mean()))
    return decide(parts, "difference of success rates, mean over pairs", above=0)


@claim(
    PAPER,
    "K3",
    "Over all ordered pairs it is at least as successful as RPBS on 85 of 90.",
    says=EXPECTED,
)
def nearly_all_pairs(evidence: Evidence) -> Verdict:
    """In each architecture with all K (K - 1) ordered pairs, at its first such seed: share of the pairs without failed
    autoencoders with success rate of deepdig at least that of rpbs: at least 85/90. All pairs there are, hence the
    share itself is judged, not its interval."""
    found: list[tuple[str, int, int, int]] = []
    classes = rows(evidence, "generation")
    for (arch, seed), part in classes.groupby(["arch", "seed"], sort=True):
        num_classes = int(part[PAIR].to_numpy().max()) + 1
        if len(part[PAIR].drop_duplicates()) < num_classes * (num_classes - 1) or num_classes < 3:
            continue
        if any(label == arch for label, *_ in found):
            continue
        chosen = generation(evidence)
        chosen = chosen[(chosen["arch"] == arch) & (chosen["seed"] == seed)]
        both = chosen.pivot_table(index=PAIR, columns="method", values="success_rate", aggfunc="first")
        if {"deepdig", "rpbs"} <= set(both):
            both = both.dropna(subset=["deepdig", "rpbs"])
            wins = int((both["deepdig"] >= both["rpbs"]).sum())
            found.append((arch, wins, len(both), seed))
    if not found:
        return not_tested("no run measured all ordered pairs")
    arch, wins, trials, _ = min(found, key=lambda one: one[1] / max(one[2], 1))
    listed = "; ".join(f"{arch}: {wins} of {trials}" for arch, wins, trials, _ in found)
    verdict = HOLDS if trials and wins / trials >= SHARE_OF_PAIRS else FAILS
    return Verdict(verdict, listed, f"share of pairs ({arch})", proportion(wins, trials, f"{trials} ordered pairs"))


@claim(
    PAPER,
    "K4",
    "Its instances are shared by the two classes alone: no third class has a part in them.",
    says=EXPECTED,
)
def two_classes_alone(evidence: Evidence) -> Verdict:
    """Mean p_s + p_t of borderline instances, deepdig minus rpbs and, apart, minus margin_bisect, mean over ordered
    pairs: above 0."""
    samples = wide(generation(evidence), "p_sum_mean")
    parts: Parts = []
    for other in ("rpbs", "margin_bisect"):
        found = over_pairs(samples, ["deepdig", other], _minus("deepdig", other))
        parts += [(f"{arch}, {other}", one) for arch, one in found]
    return decide(parts, "difference of mean p_s + p_t", above=0)


def _minus(first: str, second: str) -> Callable[[pd.DataFrame], float]:
    return lambda frame: float((frame[first] - frame[second]).mean())


@claim(
    PAPER,
    "K5",
    "It does not give the nearest instances: plain bisection from targeted end points of a margin estimator is nearer.",
    says=f"the paper compares with no attack (code); {EXPECTED}",
)
def not_the_nearest(evidence: Evidence) -> Verdict:
    """Median distance to the source over the source images that all compared methods share, at least 20 of them:
    margin_bisect over deepdig, geometric mean over ordered pairs: below 1."""
    parts = over_pairs(_common(evidence), ["deepdig", "margin_bisect"], _ratio("margin_bisect", "deepdig"))
    return decide(parts, "ratio of median distances on common images", below=1)


@claim(
    PAPER,
    "K6",
    "Component II is not needed to get near: bisection between the image and AE1's output is nearer.",
    says=f"component II is part of the method; a user doubts it (issue #2); {EXPECTED}",
)
def component_two(evidence: Evidence) -> Verdict:
    """As K5, for real_ae1 over deepdig: below 1."""
    parts = over_pairs(_common(evidence), ["deepdig", "real_ae1"], _ratio("real_ae1", "deepdig"))
    return decide(parts, "ratio of median distances on common images", below=1)


def _common(evidence: Evidence) -> dict[str, Samples]:
    found = generation(evidence)
    return wide(found[found["num_common"] >= 20], "distance_common")


def _ratio(first: str, second: str) -> Callable[[pd.DataFrame], float]:
    return lambda frame: float(np.exp(np.log(frame[first] / frame[second]).mean()))


@claim(
    PAPER,
    "K7",
    "Most of the oscillation that IDC counts is not the boundary's: the ends lie on it by construction.",
    says=f"the paper reads IDC as the boundary's complexity (a secondary source); {EXPECTED}",
)
def mostly_ends(evidence: Evidence) -> Verdict:
    """Of deepdig's instances: hysteresis flips over flips a segment, of the means over ordered pairs: below 0.5."""
    found = oscillation(evidence)
    found = found[found["method"] == "deepdig"]
    columns = [found.assign(kind=kind, value=found[kind]) for kind in ("flips", "hysteresis")]
    samples = wide(pd.concat(columns), "value", "kind") if len(found) else {}
    parts = over_pairs(
        samples, ["flips", "hysteresis"], lambda frame: float(frame["hysteresis"].mean() / frame["flips"].mean())
    )
    return decide(parts, "hysteresis flips / flips", below=0.5)


@claim(
    PAPER,
    "K8",
    "By IDC the convolutional network's boundary is more complex than the fully connected one's.",
    says=f"the paper compares networks by IDC (code); the direction is {EXPECTED}",
)
def convolutional_flips_more(evidence: Evidence) -> Verdict:
    """Flips a segment of deepdig's instances, cnn minus fcn on the ordered pairs that both have, mean: above 0. The
    spread of the instances, beside which flips are to be read, and hysteresis flips are told in the reason."""
    found = oscillation(evidence)
    found = found[found["method"] == "deepdig"]
    samples = wide(found, "flips") if len(found) else {}
    if not {"cnn", "fcn"} <= set(samples):
        return not_tested("needs cnn and fcn")
    common = sorted(
        set.intersection(*(set(frame.index) for arch in ("cnn", "fcn") for frame in samples[arch].values()))
    )
    cnn, fcn = ({seed: frame.loc[common] for seed, frame in samples[arch].items()} for arch in ("cnn", "fcn"))
    if not common:
        return not_tested("cnn and fcn share no pair")
    difference = _over_pairs(estimate(lambda a, b: float((a["deepdig"] - b["deepdig"]).mean()), cnn, fcn))
    verdict = decide([("cnn - fcn", difference)], "difference of flips a segment", above=0)
    spread = generation(evidence).query("method == 'deepdig'").groupby("arch")["spread"].mean()
    hysteresis = found.groupby("arch")["hysteresis"].mean()
    beside = ", ".join(
        f"{arch}: spread {spread.get(arch, np.nan):.3g}, hysteresis flips {hysteresis.get(arch, np.nan):.3g}"
        for arch in ("cnn", "fcn")
    )
    return Verdict(verdict.verdict, f"{verdict.reason}; {beside}", verdict.statistic, verdict.estimate)


@claim(
    PAPER,
    "K9",
    "The linear SVM of the training features, which separates them, is at a loss at borderline instances.",
    says=f"EDC is measured so (code); the numbers are {EXPECTED}",
)
def at_a_loss(evidence: Evidence) -> Verdict:
    """Accuracy of the SVM on training features minus that on borderline instances of both directions, mean over pairs:
    above 0.25. Which plane a borderline instance lies on is the classifier's own: this is no measure of curvature."""
    found = _edc(evidence, "acc", "svm")
    parts = over_pairs(found, ["train", "borderline"], _minus("train", "borderline"))
    return decide(parts, "accuracy on train minus on borderline features", above=0.25)


@claim(
    PAPER,
    "K10",
    "Borderline instances are nearer to the SVM's plane than training features.",
    says=f"EDC1 is a normalised distance (code); {EXPECTED}",
)
def nearer_to_the_plane(evidence: Evidence) -> Verdict:
    """N_all, the normalised mean distance D / (1 + D) to the SVM's plane: borderline minus train, mean over pairs:
    below 0."""
    found = _edc(evidence, "N_all", "svm")
    parts = over_pairs(found, ["train", "borderline"], _minus("borderline", "train"))
    return decide(parts, "difference of N_all", below=0)


@claim(
    PAPER,
    "K11",
    "Borderline instances lie on the classifier's own plane in feature space.",
    says="follows from the linear last layer; checks the implementation",
)
def on_the_own_plane(evidence: Evidence) -> Verdict:
    """Mean distance to the classifier's own plane, borderline over train, the largest over pairs: below 0.001."""
    found = _edc(evidence, "D_all", "own")
    parts = over_pairs(
        found, ["train", "borderline"], lambda frame: float((frame["borderline"] / frame["train"]).max())
    )
    return decide(parts, "ratio of mean distances to the own plane", below=1e-3)


def _edc(evidence: Evidence, value: str, plane: str) -> dict[str, Samples]:
    found = rows(evidence, "edc")
    return wide(found[found["plane"] == plane], value, "split") if len(found) else {}


@claim(
    PAPER,
    "K12",
    "The larger the weight of the class term, the farther from their sources and the more alike the instances.",
    says=f"the choice is touchy (an independent re-creation); {EXPECTED}",
)
def alpha_bunches(evidence: Evidence) -> Verdict:
    """On the ordered pairs with several alphas, at the largest against the smallest: log ratio of the median distance
    above 0 and minus the log ratio of the spread above 0, mean over pairs."""
    found = rows(evidence, "generation")
    found = found[(found["method"] == "deepdig") & (found["status"] == "ok")]
    if found.empty:
        return decide([], "", above=0)
    alphas = found.groupby(["experiment", "seed", *PAIR])["alpha"]
    found = found[alphas.transform("nunique") > 1]
    alphas = found.groupby(["experiment", "seed", *PAIR])["alpha"]
    low, high = alphas.transform("min"), alphas.transform("max")
    found = found.assign(end=np.select([found["alpha"] == low, found["alpha"] == high], ["low", "high"], "between"))
    parts: Parts = []
    for value, sign in (("distance_median", 1), ("spread", -1)):
        samples = wide(found, value, "end") if len(found) else {}
        grown = over_pairs(samples, ["low", "high"], _log_ratio(sign))
        parts += [(f"{arch}, {value}", one) for arch, one in grown]
    return decide(parts, "log ratio between the largest and the smallest alpha", above=0)


def _log_ratio(sign: int) -> Callable[[pd.DataFrame], float]:
    return lambda frame: sign * float(np.log(frame["high"] / frame["low"]).mean())
