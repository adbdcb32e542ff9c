"""The claims of fawzi2017 (arXiv 1705.09552), C1-C9 of docs/papers/fawzi2017.md.

The rules are those of docs/verdicts.md and the same at every scale; bounds are ours (docs/papers/fawzi2017.md,
Bounds). Only standard training is judged. On smooth networks C4, C8 and C9 have no bound: these are told beside the
verdict. Every sign is that of F = f_own - f_other: positive where the boundary bends away from the image; the paper's
own convention is not known. Boundary points of all four families are told beside the nearest ones, since the sign
depends on them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..selection.claim import ABSTRACT, SECONDARY, claim
from ..selection.effects import RATE, RATIO, first, over_seeds, share, two_way
from ..selection.evidence import Evidence, where_columns
from ..selection.networks import Network, networks
from ..selection.verdicts import Part, Verdict, decide, in_a_cell

BY_OTHERS = "secondary source"
NAMED = (("fashion_mnist", ""), ("cifar10", "lenet"), ("cifar10", "nin"), ("imagenet", "caffenet"))
paper_claim = partial(claim, "fawzi2017", needs=NAMED)
NEAREST = "nearest_refined"
FAMILIES = (NEAREST, "deepfool_end", "nat_segment", "random_dir")
SCENARIOS = ("natural", "perturbed", "random")
FEWEST_PAIRS = 20
FEWEST_POINTS = 10
FEWEST_IMAGES = 20
# where the runner-up is right this often there is nothing left for a recovery to gain
SATURATED = 0.95
# the size of noise that is judged, over the images' mean norm
NOISE = 0.2
CAVEAT = "a path not found within the budget does not show that there is none"


def enough(network: Network, fewest: int, what: str) -> tuple[dict[int, pd.DataFrame], str]:
    """The rows of seeds with at least so many, and in words which have not."""
    few = [str(seed) for seed, rows in network.seeds.items() if len(rows) < fewest]
    kept = {seed: rows for seed, rows in network.seeds.items() if len(rows) >= fewest}
    words = (
        f"{len(few)} of {len(network.seeds)} seeds have fewer than {fewest} {what} ({', '.join(few)})" if few else ""
    )
    return kept, in_a_cell(network.lacking, words)


def chosen(network: Network, **where: Any) -> Network:
    """The network with the rows whose columns have these values."""
    seeds = {seed: where_columns(rows, where) for seed, rows in network.seeds.items()}
    return replace(network, seeds=seeds)


@paper_claim(
    "C1",
    "Classification regions are connected: between points of one predicted label a path inside their region is found.",
    says="state-of-the-art networks learn connected regions (abstract)",
    whose=ABSTRACT,
    primary=True,
)
def regions_are_connected(evidence: Evidence) -> Verdict:
    """Of the pairs whose points both have the label, the share with a path found within the budget is above 0.95, in
    each scenario, of seeds with at least 20 such pairs. A path is certified at its samples only."""
    parts = []
    for network in networks(evidence, "paths"):
        for scenario in SCENARIOS:
            of_scenario = chosen(network, scenario=scenario)
            outside = sum(int((~rows["in_region"].astype(bool)).sum()) for rows in of_scenario.seeds.values())
            inside = chosen(of_scenario, in_region=True)
            if not any(map(len, inside.seeds.values())):
                continue
            kept, few = enough(inside, FEWEST_PAIRS, "pairs")
            effect = share([(int(rows["found"].sum()), len(rows)) for rows in kept.values()], "pairs")
            left_out = in_a_cell(few, f"{outside} pairs outside the region" if outside else "")
            label = f"{network.name}, {scenario}"
            parts.append(Part(label, "share of pairs with a path found", effect, 0.95, True, left_out=left_out))
    return decide(parts, CAVEAT if parts else "")


@paper_claim(
    "C2",
    "Paths inside a region are almost straight; the regions are not convex.",
    says=f"paths are almost straight lines, regions are not convex ({BY_OTHERS})",
    whose=SECONDARY,
)
def paths_are_almost_straight(evidence: Evidence) -> Verdict:
    """The median of D(P), a path's length over the distance of its ends, is below 1.01 in each scenario, of seeds with
    at least 20 paths (band: 0.005). Beside it the share of convex combinations inside, below 1 where not convex."""
    parts = []
    for network in networks(evidence, "paths", found=True):
        for scenario in SCENARIOS:
            of_scenario = chosen(network, scenario=scenario)
            if any(map(len, of_scenario.seeds.values())):
                kept, few = enough(of_scenario, FEWEST_PAIRS, "paths")
                effect = over_seeds((rows["relative_length"].median() for rows in kept.values()), RATIO)
                label, statistic = f"{network.name}, {scenario}", "median of path length / distance"
                parts.append(Part(label, statistic, effect, 1.01, False, 0.005, left_out=few))
    for network in networks(evidence, "convexity", weight_law="dirichlet", region=-1):
        k = max(rows["k"].max() for rows in network.seeds.values())
        effect = over_seeds((rows.loc[rows["k"] == k, "hit_rate"].mean() for rows in network.seeds.values()), RATE)
        label, statistic = f"{network.name}, {k} images", "share of convex combinations inside"
        parts.append(Part(label, statistic, effect, 1, False, secondary=True, left_out=network.lacking))
    return decide(parts)


@paper_claim(
    "C3",
    "Near data points the decision boundary is flat along most directions.",
    says="yes, only few directions are strongly curved (abstract)",
    whose=ABSTRACT,
)
def boundary_is_flat_along_most_directions(evidence: Evidence) -> Verdict:
    """Networks without kinks, exact second derivatives, refined nearest points: the mean share of principal curvatures
    up to 5 % of the point's largest is above 0.75. At least 10 points; an affine network is not judged. The share up
    to 1 % is told beside it."""
    where = {"family": NEAREST, "method": "ad", "solver": "dense", "kinks": "none", "affine": False}
    parts = []
    for network in networks(evidence, "curvature_summary", **where):
        kept, few = enough(network, FEWEST_POINTS, "points")
        for percent in (5, 1):
            column = f"frac_abs_lt_{percent}pct"
            frames = {seed: rows.set_index("index")[[column]] for seed, rows in kept.items()}
            statistic = f"share of directions with |curvature| up to {percent} % of the largest"
            effect = two_way(first, frames, RATE, "points")
            label = f"{network.name}, {percent} %"
            parts.append(Part(label, statistic, effect, 0.75, True, secondary=percent == 1, left_out=few))
    return decide(parts, "" if parts else "needs a network whose activation and pooling are smooth")


def signs(network: Network, label: str, column: str, middle: float, sign: int, secondary: bool) -> Part:
    """The part that more than half of the points are on the side `sign` of `middle`; those on it, or nan, have none."""
    kept, few = enough(network, FEWEST_POINTS, "points")
    found = {seed: sign * (rows.set_index("index")[column] - middle) for seed, rows in kept.items()}
    without = sum(int((~(values.abs() > 0)).sum()) for values in found.values())
    frames = {seed: (values[values.abs() > 0] > 0).astype(float).to_frame() for seed, values in found.items()}
    left_out = in_a_cell(few, f"{without} points without a sign" if without else "")
    effect = two_way(first, frames, RATE, "points")
    return Part(label, "share of points with the sign claimed", effect, 0.5, True, 0.05, secondary, left_out)


@paper_claim(
    "C4",
    "At nearest points the boundary is curved asymmetrically: its tangent plane lies mostly on the image's own side.",
    says=f"asymmetric, more directions with negative curvature, of a sign convention that is not known ({BY_OTHERS})",
    whose=SECONDARY,
)
def curvature_is_asymmetric(evidence: Evidence) -> Verdict:
    """ReLU networks: of the refined nearest points, more than half have the tangent plane, at every distance t looked
    at, mostly on the image's own side. At least 10 points. Smooth networks and the other families of points are told
    beside it."""
    parts = []
    for network in networks(evidence, "tangent_sides"):
        for family in FAMILIES:
            for t in sorted(set().union(*(rows["t"] for rows in network.seeds.values()))):
                at = chosen(network, family=family, t=t)
                if any(map(len, at.seeds.values())):
                    beside = not (network.is_piecewise_linear and family == NEAREST)
                    label = f"{network.name}, {family}, t = {t:g}"
                    parts.append(signs(at, label, "share_own_side", 0.5, 1, beside))
    return decide(parts, "" if any(not part.secondary for part in parts) else "needs a ReLU network")


def _confounded(evidence: Evidence) -> dict[str, str]:
    """The networks whose shared directions are forced by the architecture, with the reason."""
    found = {}
    for network in networks(evidence, "shared_summary"):
        rows = pd.concat(network.seeds.values())
        if rows["confounded"].astype(bool).any():
            found[network.name] = f"{network.name} reacts to {rows['reach_rank'].max()} dimensions only"
    return found


def _exact(evidence: Evidence) -> set[str]:
    """The networks whose shared directions are of exact second derivatives."""
    found = networks(evidence, "shared_summary")
    return {network.name for network in found if pd.concat(network.seeds.values())["method"].iloc[0] == "ad"}


def _shared(parts: list[Part], confounded: dict[str, str]) -> Verdict:
    """The verdict on shared directions; where all that was measured is confounded, it cannot be said."""
    if not any(not part.secondary for part in parts):
        forced = f"shared by architecture, not by training: {'; '.join(confounded.values())}"
        return decide(parts, forced if confounded else "no run measured exact shared directions")
    return decide(parts)


@paper_claim(
    "C5",
    "The strongly curved directions are shared between data points.",
    says=f"yes ({BY_OTHERS})",
    whose=SECONDARY,
)
def curved_directions_are_shared(evidence: Evidence) -> Verdict:
    """Exact second derivatives: along the first shared direction of a batch of training images the boundary at unseen
    images is on average more than 10 times as curved as along a random one (band: 0.5). Networks that react to fewer
    dimensions than images have, whose directions are shared by architecture, and other derivatives are told beside
    it."""
    confounded, exact = _confounded(evidence), _exact(evidence)
    parts = []
    for network in networks(evidence, "shared_rho", i=1):
        effect = over_seeds((rows["mean_rho"].iloc[0] for rows in network.seeds.values()), RATIO)
        beside = network.name in confounded or network.name not in exact
        statistic = "mean curvature along the first shared direction / along a random one"
        parts.append(Part(network.name, statistic, effect, 10, True, 0.5, beside, network.lacking))
    return _shared(parts, confounded)


@paper_claim(
    "C6",
    "Shared curved directions look like localised Gabor filters.",
    says=f"yes, as pictures ({BY_OTHERS})",
    whose=SECONDARY,
)
def shared_directions_are_localised(evidence: Evidence) -> Verdict:
    """Exact second derivatives: of the first 10 shared directions, the mean effective number of pixels and that of
    spatial frequencies are both below half of Gaussian noise's. Our measure of localised filters; the figure of the
    directions is what the paper shows. Networks whose directions are shared by architecture are not judged."""
    confounded, exact = _confounded(evidence), _exact(evidence)
    parts = []
    for network in networks(evidence, "shared_rho", i=list(range(1, 11))):
        for column, words in (("space_extent", "pixels"), ("frequency_extent", "frequencies")):
            effect = over_seeds((rows[column].mean() for rows in network.seeds.values()), RATIO)
            beside = network.name in confounded or network.name not in exact
            label, statistic = f"{network.name}, {words}", "effective number / that of Gaussian noise"
            parts.append(Part(label, statistic, effect, 0.5, False, 0.05, beside, network.lacking))
    return _shared(parts, confounded)


@paper_claim(
    "C7",
    "Networks are sensitive to noise in the curved subspace and robust to noise in its flat complement.",
    says="yes (abstract)",
    whose=ABSTRACT,
)
def sensitive_in_the_curved_subspace(evidence: Evidence) -> Verdict:
    """Noise of 0.2 of the images' mean norm changes labels in S more than 5 times as often as in its complement; and
    unseen images' DeepFool perturbations have more energy in the first 10 directions of S than in 10 principal
    components, and than by chance. Curved and steep are not told apart by this: the other subspaces are told beside it.
    Networks that react to fewer dimensions than images have are not judged."""
    confounded, energies = _confounded(evidence), {one.name: one for one in networks(evidence, "shared_energy", k=10)}
    parts = []
    for network in networks(evidence, "shared_noise"):
        beside = network.name in confounded
        rates = [rows[np.isclose(rows["rel_norm"], NOISE)].set_index("subspace")["label_change_rate"]
                 for rows in network.seeds.values()]  # fmt: skip
        excess = over_seeds(one.get("shared", np.nan) - 5 * one.get("shared_complement", np.nan) for one in rates)
        statistic = "label changes by noise in S minus 5 times those in its complement"
        parts.append(Part(f"{network.name}, noise", statistic, excess, 0, True, 0.05, beside, network.lacking))
        for name in sorted(set().union(*(one.index for one in rates)) - {"shared"}):
            less = over_seeds(one.get("shared", np.nan) - one.get(name, np.nan) for one in rates)
            statistic = "label changes by noise in S minus those in another subspace"
            parts.append(Part(f"{network.name}, {name}", statistic, less, 0, True, secondary=True))
        energy = energies.get(network.name)
        gains = [_energy(rows) for rows in energy.seeds.values()] if energy else []
        statistic, lacking = "energy in S minus that in PCA or by chance", energy.lacking if energy else ""
        parts.append(Part(f"{network.name}, energy", statistic, over_seeds(gains), 0, True, 0.05, beside, lacking))
    return _shared(parts, confounded)


def _energy(rows: pd.DataFrame) -> float:
    mean = rows.set_index("subspace")["mean_energy"]
    return float(mean.get("shared", np.nan) - max(mean.get("pca", np.nan), rows["chance"].iloc[0]))


@paper_claim(
    "C8",
    "At nearest points mean curvature is positive for natural and negative for slightly perturbed images: it detects.",
    says=f"yes (abstract: the idea; {BY_OTHERS}: the signs)",
    whose=ABSTRACT,
)
def curvature_tells_perturbed_images(evidence: Evidence) -> Verdict:
    """ReLU networks, refined nearest points, the smallest alpha: more than half of the natural images have positive
    mean curvature and more than half of the perturbed ones negative. At least 10 images. Smooth networks, the other
    families and the AUC beyond the logit gap's are told beside it."""
    parts = []
    for network in networks(evidence, "detect_scores", statistic="boundary_curvature", success=True):
        for family in FAMILIES:
            for is_perturbed, words in ((False, "natural positive"), (True, "perturbed negative")):
                of_family = chosen(network, family=family)
                found = {seed: _smallest_alpha(rows, is_perturbed) for seed, rows in of_family.seeds.items()}
                at = replace(network, seeds=found)
                if not any(map(len, at.seeds.values())):
                    continue
                beside = not (network.is_piecewise_linear and family == NEAREST)
                # scores are of f_other - f_own
                sign, label = 1 if is_perturbed else -1, f"{network.name}, {family}, {words}"
                parts.append(signs(at, label, "score", 0, sign, beside))
    aside = "" if any(not part.secondary for part in parts) else "needs a ReLU network"
    return decide([*parts, *_aucs(evidence)], aside)


def _smallest_alpha(rows: pd.DataFrame, is_perturbed: bool) -> pd.DataFrame:
    """Rows of the largest number of directions: the natural images', or those of the smallest perturbation."""
    kept = rows[(rows["is_perturbed"].astype(bool) == is_perturbed)]
    kept = kept[kept["num_directions"] == kept["num_directions"].max()]
    return kept[kept["alpha"] == kept["alpha"].min()]


def _aucs(evidence: Evidence) -> list[Part]:
    """AUC of each statistic at nearest points or at the image minus the logit gap's, by network and alpha."""
    parts = []
    for network in networks(evidence, "detect_summary", family=[NEAREST, "image"]):
        rows = pd.concat([rows.assign(seed=seed) for seed, rows in network.seeds.items()])
        rows = rows[rows["num_directions"] == rows["num_directions"].max()]
        for (statistic, alpha), at in rows.groupby(["statistic", "alpha"]):
            gain = over_seeds(at["auc"] - at["logit_gap_auc"])
            label, words = f"{network.name}, {statistic}, alpha = {alpha:g}", "AUC minus the logit gap's"
            parts.append(Part(label, words, gain, 0, True, secondary=True, left_out=network.lacking))
    return parts


@paper_claim(
    "C9",
    "The same statistic recovers the original label of a perturbed image.",
    says=f"yes (abstract; {BY_OTHERS})",
    whose=ABSTRACT,
)
def curvature_recovers_the_label(evidence: Evidence) -> Verdict:
    """ReLU networks, the statistic at the image itself: at every alpha the share of labels recovered exceeds the
    runner-up's. Alphas at which the runner-up is right for 95 % or more leave nothing to gain and are told beside it,
    as are smooth networks and the statistic at boundary points of all four families. At least 20 images."""
    parts = []
    for network in networks(evidence, "detect_summary"):
        rows = pd.concat(network.seeds.values())
        rows = rows[rows["num_directions"] == rows["num_directions"].max()]
        for (family, alpha), at in rows.groupby(["family", "alpha"]):
            few = int((at["num_images"] < FEWEST_IMAGES).sum())
            gain = over_seeds(at.loc[at["num_images"] >= FEWEST_IMAGES, "recovery_gain"])
            saturated = at["runner_up_rate"].mean() >= SATURATED
            beside = not (network.is_piecewise_linear and family == "image") or saturated
            left_out = in_a_cell(network.lacking, f"{few} seeds have fewer than {FEWEST_IMAGES} images" if few else "")
            label = f"{network.name}, {family}, alpha = {alpha:g}"
            parts.append(Part(label, "labels recovered minus the runner-up's", gain, 0, True, 0.05, beside, left_out))
    if parts and all(part.secondary for part in parts):
        return decide(parts, "needs a ReLU network and an alpha where the runner-up is not right already")
    return decide(parts)
