"""The claims of fawzi2017 (arXiv 1705.09552), C1-C9 of docs/papers/fawzi2017.md.

The rules were written before any number was known, and are the same at every scale. Bounds are ours
(docs/papers/fawzi2017.md, Bounds), to be reached in every seed of every network; only standard training is judged. On
smooth networks C4, C8 and C9 have no bound: these are listed and not judged. Every sign is that of
F = f_own - f_other: positive where the boundary bends away from the image; the paper's own convention is not
known. Boundary points of all four families are listed beside the nearest ones, since the sign depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd

from ..selection.evidence import Evidence
from ..selection.intervals import Estimate, estimate, over_seeds, proportion
from ..selection.networks import Network, networks
from ..selection.verdicts import FAILS, HOLDS, UNTESTED, Part, Verdict, claim, gate, not_tested, part_of

PAPER = "fawzi2017"
SECONDARY = "secondary source"
NEAREST = "nearest_refined"
FAMILIES = (NEAREST, "deepfool_end", "nat_segment", "random_dir")
FEWEST_PAIRS = 20
FEWEST_POINTS = 10
FEWEST_IMAGES = 20
# the level at which a share of signs differs from one half
LEVEL = 0.01
# where the runner-up is right this often there is nothing left for a recovery to gain
SATURATED = 0.95
CAVEAT = "a path not found within the budget does not show that there is none"


def _of_images(network: Network, column: str, statistic: Callable[[pd.Series], float], key: str) -> Estimate:
    frames = {seed: rows.set_index(key) for seed, rows in network.seeds.items()}
    return estimate(lambda frame: float(statistic(frame[column])), frames)


def _part(label: str, network: Network, column: str, statistic: Callable[[pd.Series], float], key: str) -> Part:
    values = [float(statistic(rows[column])) for rows in network.seeds.values()]
    return Part(label, values, _of_images(network, column, statistic, key))


def _few(network: Network, fewest: int) -> bool:
    return min(map(len, network.seeds.values())) < fewest


@claim(
    PAPER,
    "C1",
    "Classification regions are connected: between points of one predicted label a path inside their region is found.",
    says="state-of-the-art networks learn connected regions (abstract)",
)
def regions_are_connected(evidence: Evidence) -> Verdict:
    """Of the pairs whose points both have the label, the share with a path found within the budget is at least 0.95,
    in each scenario with at least 20 such pairs. A path is certified at its samples only."""
    parts = []
    for network in networks(evidence, "paths", in_region=True):
        for scenario in ("natural", "perturbed", "random"):
            of_scenario = [rows[rows["scenario"] == scenario] for rows in network.seeds.values()]
            if min(map(len, of_scenario)) < FEWEST_PAIRS:
                continue
            shares = [proportion(int(rows["found"].sum()), len(rows), f"{len(rows)} pairs") for rows in of_scenario]
            parts.append(part_of(f"{network.name}, {scenario}", shares))
    return gate(parts, "share of pairs with a path found", at_least=0.95, aside=CAVEAT)


@claim(
    PAPER,
    "C2",
    "Paths inside a region are almost straight; the regions are not convex.",
    says=f"paths are almost straight lines, regions are not convex ({SECONDARY})",
)
def paths_are_almost_straight(evidence: Evidence) -> Verdict:
    """The median of D(P), a path's length over the distance of its ends, is below 1.01 in each scenario with at least
    20 paths. Convexity is not judged: the share of convex combinations inside is listed, below 1 where not convex."""
    parts = []
    for network in networks(evidence, "paths", found=True):
        for scenario in ("natural", "perturbed", "random"):
            seeds = {seed: rows[rows["scenario"] == scenario] for seed, rows in network.seeds.items()}
            of_scenario = Network(network.name, network.activation, seeds)
            if not _few(of_scenario, FEWEST_PAIRS):
                label = f"{network.name}, {scenario}"
                parts.append(_part(label, of_scenario, "relative_length", lambda lengths: lengths.median(), "pair"))
    listed = []
    for network in networks(evidence, "convexity", weight_law="dirichlet", region=-1):
        largest = pd.concat(network.seeds.values())
        largest = largest[largest["k"] == largest["k"].max()]
        if len(largest):
            listed.append(f"{network.name} {largest['hit_rate'].mean():.3g} of {largest['k'].iloc[0]} images")
    aside = f"convex combinations inside: {', '.join(listed)}" if listed else "convexity was not measured"
    return gate(parts, "median of path length / distance", below=1.01, aside=aside)


@claim(
    PAPER,
    "C3",
    "Near data points the decision boundary is flat along most directions.",
    says="yes, only few directions are strongly curved (abstract)",
)
def boundary_is_flat_along_most_directions(evidence: Evidence) -> Verdict:
    """Networks without kinks, exact second derivatives, refined nearest points: the mean share of principal curvatures
    up to 5 % of the point's largest is at least 0.75. At least 10 points; an affine network is not judged."""
    chosen = {"family": NEAREST, "method": "ad", "solver": "dense", "kinks": "none", "affine": False}
    parts, beside = [], []
    for network in networks(evidence, "curvature_summary", **chosen):
        if not _few(network, FEWEST_POINTS):
            parts.append(_part(network.name, network, "frac_abs_lt_5pct", lambda share: share.mean(), "index"))
            one_percent = over_seeds([rows["frac_abs_lt_1pct"].mean() for rows in network.seeds.values()]).value
            beside.append(f"{network.name} {one_percent:.3g}")
    aside = f"up to 1 %: {', '.join(beside)}" if beside else "needs a network whose activation and pooling are smooth"
    return gate(parts, "share of directions with |curvature| up to 5 % of the largest", at_least=0.75, aside=aside)


def _signs(rows: pd.DataFrame, positive: pd.Series, negative: pd.Series) -> tuple[Estimate, float]:
    """The share of positive signs among those that have one, and the two-sided p-value of one half."""
    from scipy.stats import binomtest

    up, down = int(positive.sum()), int(negative.sum())
    share = proportion(up, up + down, f"{up + down} of {len(rows)} points")
    return share, float(binomtest(up, up + down).pvalue) if up + down else 1.0


@claim(
    PAPER,
    "C4",
    "At nearest points the boundary is curved asymmetrically: its tangent plane lies mostly on the image's own side.",
    says=f"asymmetric, more directions with negative curvature, of a sign convention that is not known ({SECONDARY})",
)
def curvature_is_asymmetric(evidence: Evidence) -> Verdict:
    """ReLU networks: of the refined nearest points, more than half have the tangent plane, at every distance t looked
    at, mostly on the image's own side, with a binomial p-value below 0.01. At least 10 points. Smooth networks and the
    other families of points are listed and not judged."""
    parts, weak, listed = [], [], []
    for network in networks(evidence, "tangent_sides"):
        for family in FAMILIES:
            for t in sorted(pd.concat(network.seeds.values())["t"].unique()):
                shares, values = [], []
                for rows in network.seeds.values():
                    at = rows[(rows["family"] == family) & (rows["t"] == t)]
                    shares.append(_signs(at, at["share_own_side"] > 0.5, at["share_own_side"] < 0.5))
                    values.append(len(at))
                if min(values) < FEWEST_POINTS:
                    continue
                part = part_of(f"{network.name}, {family}, t = {t:g}", [share for share, _ in shares])
                if network.is_piecewise_linear and family == NEAREST:
                    parts.append(part)
                    weak += [part.label for _, p in shares if p >= LEVEL]
                else:
                    listed.append(str(part))
    return _signed(parts, weak, "share of points with the tangent plane on the own side", listed)


def _signed(parts: list[Part], weak: list[str], statistic: str, listed: list[str]) -> Verdict:
    """The verdict on shares that are to be above one half, significantly so; `weak` names those that are not."""
    aside = f"not judged: {'; '.join(listed)}" if listed else ""
    if not parts:
        return gate([], statistic, at_least=0.5, aside=f"needs a ReLU network{'; ' if aside else ''}{aside}")
    verdict = gate(parts, statistic, at_least=0.5, aside=aside)
    if verdict.verdict == HOLDS and weak:
        reason = f"not significant (binomial p >= {LEVEL:g}): {', '.join(dict.fromkeys(weak))}; {verdict.reason}"
        return Verdict(FAILS, reason, verdict.statistic, verdict.estimate)
    return verdict


def _confounded(evidence: Evidence) -> dict[str, str]:
    """The networks whose shared directions are forced by the architecture, with the reason."""
    found = {}
    for network in networks(evidence, "shared_summary"):
        rows = pd.concat(network.seeds.values())
        if rows["confounded"].astype(bool).any():
            found[network.name] = f"{network.name} reacts to {rows['reach_rank'].max()} dimensions only"
    return found


def _shared_methods(evidence: Evidence) -> dict[str, str]:
    return {
        network.name: str(pd.concat(network.seeds.values())["method"].iloc[0])
        for network in networks(evidence, "shared_summary")
    }


def _measured_or(verdict: Verdict, confounded: list[str]) -> Verdict:
    """Not tested, with the reason, where all that was measured is confounded."""
    if verdict.verdict == UNTESTED and confounded:
        return not_tested(f"shared by architecture, not by training: {'; '.join(confounded)}")
    return verdict


@claim(
    PAPER,
    "C5",
    "The strongly curved directions are shared between data points.",
    says=f"yes ({SECONDARY})",
)
def curved_directions_are_shared(evidence: Evidence) -> Verdict:
    """Exact second derivatives: along the first shared direction of a batch of training images the boundary at unseen
    images is on average at least 10 times as curved as along a random one. Not tested on networks that react to fewer
    dimensions than images have, whose directions are shared by architecture."""
    confounded, methods = _confounded(evidence), _shared_methods(evidence)
    parts, listed = [], []
    for network in networks(evidence, "shared_rho", i=1):
        rows = [seed.iloc[0] for seed in network.seeds.values()]
        images = [f"1 seed, {row['num_images']} images" for row in rows]
        means = [
            Estimate(row["mean_rho"], row["ci_low"], row["ci_high"], over)
            for row, over in zip(rows, images, strict=True)
        ]
        part = part_of(network.name, means)
        if network.name in confounded:
            listed.append(f"{part} ({confounded[network.name]})")
        elif methods.get(network.name) == "ad":
            parts.append(part)
        else:
            listed.append(f"{part} ({methods.get(network.name)})")
    aside = f"not judged: {'; '.join(listed)}" if listed else ""
    verdict = gate(parts, "mean rho of the first shared direction", at_least=10, aside=aside)
    return _measured_or(verdict, [line for line in listed if "dimensions only" in line])


@claim(
    PAPER,
    "C6",
    "Shared curved directions look like localised Gabor filters.",
    says=f"yes, as pictures ({SECONDARY})",
)
def shared_directions_are_localised(evidence: Evidence) -> Verdict:
    """Exact second derivatives: of the first 10 shared directions, the mean effective number of pixels and that of
    spatial frequencies are both below half of Gaussian noise's. Our measure of localised filters; the figure of the
    directions is what the paper shows. Not tested on networks whose directions are shared by architecture."""
    confounded, methods = _confounded(evidence), _shared_methods(evidence)
    parts = []
    for network in networks(evidence, "shared_rho", i=list(range(1, 11))):
        if network.name in confounded or methods.get(network.name) != "ad":
            continue
        for column, words in (("space_extent", "pixels"), ("frequency_extent", "frequencies")):
            label = f"{network.name}, {words}"
            parts.append(_part(label, network, column, lambda extent: extent.mean(), "i"))
    verdict = gate(parts, "effective number / that of Gaussian noise", below=0.5)
    return _measured_or(verdict, list(confounded.values()))


@claim(
    PAPER,
    "C7",
    "Networks are sensitive to noise in the curved subspace S and robust to noise in its flat complement.",
    says="yes (abstract)",
)
def sensitive_in_the_curved_subspace(evidence: Evidence) -> Verdict:
    """Noise of 0.2 of the images' mean norm changes labels, and in S at least 5 times as often as in its complement;
    and unseen images' DeepFool perturbations have more energy in the first 10 directions of S than in 10 principal
    components, and than by chance. Curved and steep are not told apart by this: the other subspaces are listed. Not
    tested on networks that react to fewer dimensions than images have."""
    confounded, energies = _confounded(evidence), {n.name: n for n in networks(evidence, "shared_energy", k=10)}
    parts, failing, beside = [], [], []
    for network in networks(evidence, "shared_noise"):
        if network.name in confounded:
            continue
        estimates = []
        for seed, rows in network.seeds.items():
            at = rows[np.isclose(rows["rel_norm"], 0.2)].set_index("subspace")
            if not {"shared", "shared_complement"} <= set(at.index):
                return not_tested(f"{network.name}: no noise of relative norm 0.2 in S and its complement")
            inside, outside = at.loc["shared"], at.loc["shared_complement"]
            # both intervals at their ends: wider than one of the difference
            low, high = inside["ci_low"] - 5 * outside["ci_high"], inside["ci_high"] - 5 * outside["ci_low"]
            value = inside["label_change_rate"] - 5 * outside["label_change_rate"]
            estimates.append(Estimate(value, low, high, f"1 seed, {inside['num_images']} images"))
            beside.append(f"{network.name}, seed {seed}: {_rates(at)}")
            if not inside["label_change_rate"] > 0:
                failing.append(f"{network.name}, seed {seed}: noise in S changes no label")
            energy = energies[network.name].seeds.get(seed) if network.name in energies else None
            if energy is None or not {"shared", "pca"} <= set(energy["subspace"]):
                return not_tested(f"{network.name}, seed {seed}: no energy in 10 directions of S and of PCA")
            mean = energy.set_index("subspace")["mean_energy"]
            beside.append(f"energy in 10 directions: S {mean['shared']:.3g}, PCA {mean['pca']:.3g}")
            if not mean["shared"] > max(mean["pca"], energy["chance"].iloc[0]):
                failing.append(f"{network.name}, seed {seed}: no more energy in S than in PCA or by chance")
        parts.append(part_of(network.name, estimates))
    statistic = "label changes by noise in S minus 5 times those in its complement"
    verdict = gate(parts, statistic, at_least=0, aside="; ".join(beside))
    if verdict.verdict == HOLDS and failing:
        return Verdict(FAILS, f"{'; '.join(failing)}; {verdict.reason}", verdict.statistic, verdict.estimate)
    return _measured_or(verdict, list(confounded.values()))


def _rates(at: pd.DataFrame) -> str:
    return ", ".join(f"{name} {rate:.3g}" for name, rate in at["label_change_rate"].items())


@claim(
    PAPER,
    "C8",
    "At nearest points mean curvature is positive for natural and negative for slightly perturbed images: it detects.",
    says=f"yes (abstract: the idea; {SECONDARY}: the signs)",
)
def curvature_tells_perturbed_images(evidence: Evidence) -> Verdict:
    """ReLU networks, refined nearest points, the smallest alpha: more than half of the natural images have positive
    mean curvature and more than half of the perturbed ones negative, each with a binomial p-value below 0.01. At least
    20 images. Smooth networks and the other families are listed and not judged; so is the AUC beside the logit
    margin's, which has no bound."""
    parts, weak, listed = [], [], []
    for network in networks(evidence, "detect_scores", statistic="boundary_curvature", success=True):
        for family in FAMILIES:
            for is_perturbed, words in ((False, "natural positive"), (True, "perturbed negative")):
                shares, sizes = [], []
                for rows in network.seeds.values():
                    at = _smallest_alpha(rows[rows["family"] == family], is_perturbed)
                    # scores are of f_other - f_own
                    away, towards = (at["score"] < 0), (at["score"] > 0)
                    shares.append(_signs(at, towards, away) if is_perturbed else _signs(at, away, towards))
                    sizes.append(len(at))
                if min(sizes) < FEWEST_IMAGES:
                    continue
                part = part_of(f"{network.name}, {family}, {words}", [share for share, _ in shares])
                if network.is_piecewise_linear and family == NEAREST:
                    parts.append(part)
                    weak += [part.label for _, p in shares if p >= LEVEL]
                else:
                    listed.append(str(part))
    return _signed(parts, weak, "share of images with the sign claimed", [*listed, *_aucs(evidence)])


def _smallest_alpha(rows: pd.DataFrame, is_perturbed: bool) -> pd.DataFrame:
    """Rows of the largest number of directions: the natural images', or those of the smallest perturbation."""
    kept = rows[(rows["is_perturbed"].astype(bool) == is_perturbed)]
    kept = kept[kept["num_directions"] == kept["num_directions"].max()]
    return kept[kept["alpha"] == kept["alpha"].min()]


def _aucs(evidence: Evidence) -> list[str]:
    """AUC of each statistic at nearest points or at the image, beside the logit margin's, by network and alpha."""
    lines = []
    for network in networks(evidence, "detect_summary", family=[NEAREST, "image"]):
        rows = pd.concat(network.seeds.values())
        rows = rows[rows["num_directions"] == rows["num_directions"].max()]
        for (statistic, alpha), at in rows.groupby(["statistic", "alpha"]):
            words = "beats" if at["beats_logit_gap"].astype(bool).all() else "does not beat"
            lines.append(
                f"{network.name}, {statistic}, alpha = {alpha:g}: AUC {at['auc'].mean():.3g} {words} the logit "
                f"margin's {at['logit_gap_auc'].mean():.3g}"
            )
    return lines


@claim(
    PAPER,
    "C9",
    "The same statistic recovers the original label of a perturbed image.",
    says=f"yes (abstract; {SECONDARY})",
)
def curvature_recovers_the_label(evidence: Evidence) -> Verdict:
    """ReLU networks, the statistic at the image itself: at every alpha the share of labels recovered exceeds the
    runner-up's, the interval of the difference over images above 0 in every seed. Alphas at which the runner-up is
    right for 95 % or more leave nothing to gain and are listed, as are smooth networks and the statistic at boundary
    points of all four families. At least 20 images."""
    parts, failing, listed = [], [], []
    for network in networks(evidence, "detect_summary"):
        rows = pd.concat(network.seeds.values())
        rows = rows[(rows["num_directions"] == rows["num_directions"].max()) & (rows["num_images"] >= FEWEST_IMAGES)]
        for (family, alpha), at in rows.groupby(["family", "alpha"]):
            gains = [_gain(row) for row in at.to_dict("records")]
            label = f"{network.name}, {family}, alpha = {alpha:g}"
            part = part_of(label, gains)
            saturated = at["runner_up_rate"].mean() >= SATURATED
            if network.is_piecewise_linear and family == "image" and not saturated:
                parts.append(part)
                failing += [label for gain in gains if not gain.low > 0]
            else:
                rates = f"{at['recovery_rate'].mean():.1%}, runner-up {at['runner_up_rate'].mean():.1%}"
                listed.append(f"{label}: {rates}")
    aside = f"not judged: {'; '.join(listed)}" if listed else ""
    if not parts:
        return not_tested(f"needs a ReLU network and an alpha where the runner-up is not right already; {aside}")
    verdict = gate(parts, "labels recovered minus the runner-up's", at_least=0, aside=aside)
    if verdict.verdict == HOLDS and failing:
        reason = f"the interval includes 0: {', '.join(dict.fromkeys(failing))}; {verdict.reason}"
        return Verdict(FAILS, reason, verdict.statistic, verdict.estimate)
    return verdict


def _gain(row: dict[Hashable, Any]) -> Estimate:
    low, high = row["recovery_gain_low"], row["recovery_gain_high"]
    return Estimate(row["recovery_gain"], low, high, f"1 seed, {row['num_images']} images")
