"""Claims K7, K8 and B4 of karimi2020, on the oscillation that IDC counts.

The conventions are those of `karimi2020`.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ..selection.claim import OURS
from ..selection.effects import DIFFERENCE, RATE, two_way
from ..selection.evidence import Evidence
from ..selection.margin_changes import joined
from ..selection.verdicts import BAND, Part, Verdict, decide, in_a_cell, not_run
from .karimi2020 import EXPECTED, OfMeans, by_pair, generation, main_rows, minus, over_pairs, paper_claim

# the authors' (docs/papers/karimi2020.md): points a segment, and the weight of both stages
AUTHORS_GRID, AUTHORS_ALPHA = 50, 0.8
# two thirds: of three label changes that IDC counts, two are not the boundary's
MOSTLY_NOISE = 2 / 3


def oscillation(evidence: Evidence) -> pd.DataFrame:
    """The table `idc` of deepdig's instances at the main alpha and grid, where there were segments."""
    found = main_rows(evidence, "idc")
    return found[found["flips"].notna() & (found["method"] == "deepdig")]


@paper_claim(
    "K7",
    "Most of the oscillation that IDC counts is not the boundary's: the ends lie on it by construction.",
    says=f"the paper reads IDC as the boundary's complexity (a secondary source); {EXPECTED}",
    whose=OURS,
)
def mostly_ends(evidence: Evidence) -> Verdict:
    """Of deepdig's instances: hysteresis flips over flips a segment, of the means over ordered pairs: below 0.5."""
    of_means: OfMeans = lambda means: means[..., 0] / means[..., 1]  # noqa: E731
    samples = _counts(oscillation(evidence), ["hysteresis", "flips"])
    return decide(over_pairs(samples, "hysteresis flips / flips", of_means, 0.5, False, scale=RATE))


def _counts(found: pd.DataFrame, kinds: list[str]) -> dict[str, tuple[dict[int, pd.DataFrame], str]]:
    """For each architecture a frame a seed: a row an ordered pair, its numbers of these kinds a segment."""
    stacked = pd.concat([found.assign(kind=kind, value=found[kind]) for kind in kinds])
    return by_pair(stacked, "value", kinds, "kind")


@paper_claim(
    "K8",
    "By IDC the convolutional network's boundary is more complex than the fully connected one's.",
    says=f"the paper compares networks by IDC (code); the direction is {EXPECTED}",
    whose=OURS,
)
def convolutional_flips_more(evidence: Evidence) -> Verdict:
    """Flips a segment of deepdig's instances, cnn minus fcn on the ordered pairs that both have, mean: above 0. The
    same of hysteresis flips and of the spread of the instances, beside which flips are to be read, is told beside
    it."""
    parts = []
    tables = {"flips": oscillation(evidence), "hysteresis": oscillation(evidence), "spread": generation(evidence)}
    for name, found in tables.items():
        samples = by_pair(found, name, ["deepdig"])
        if not {"cnn", "fcn"} <= set(samples):
            continue
        (cnn, lost), (fcn, lost_too) = samples["cnn"], samples["fcn"]
        effect = two_way(minus, joined(cnn, fcn), DIFFERENCE, "ordered pairs")
        left_out = in_a_cell(lost and f"cnn: {lost}", lost_too and f"fcn: {lost_too}")
        statistic = f"difference of {name}" + (" a segment" if name != "spread" else "")
        parts.append(Part(f"cnn - fcn, {name}", statistic, effect, 0, True, BAND, name != "flips", left_out))
    return decide(parts) if parts else not_run("needs cnn and fcn")


@paper_claim(
    "B4",
    "At the authors' settings two thirds of what IDC counts, or more, is noise of the ends.",
    says="the paper reads IDC as the boundary's complexity (a secondary source)",
    whose=OURS,
)
def two_thirds_are_noise(evidence: Evidence) -> Verdict:
    """Of deepdig's instances with T = 50 points a segment and alpha = 0.8: the share of flips that hysteresis removes,
    because no decided point is between them, is above 2/3, of the means over ordered pairs. Beside it the share of
    flips on the first step away from an end, and the excess of flips over the 0.5 that a plane has, as a share."""
    found = oscillation(evidence)
    found = found[(found["grid"] == AUTHORS_GRID) & (found["alpha"].sub(AUTHORS_ALPHA).abs() < 1e-9)]
    if found.empty:
        return not_run(f"no run has T = {AUTHORS_GRID} and alpha = {AUTHORS_ALPHA}")
    removed: OfMeans = lambda means: 1 - means[..., 0] / means[..., 1]  # noqa: E731
    samples = _counts(found, ["hysteresis", "flips"])
    parts = over_pairs(samples, "share of flips that hysteresis removes", removed, MOSTLY_NOISE, True, scale=RATE)
    beside: dict[str, tuple[str, OfMeans]] = {
        "first_step": ("share of flips on the first step", lambda means: means[..., 0] / means[..., 1]),
        "flips": ("share of flips beyond the plane's 0.5", lambda means: 1 - 0.5 / means[..., 0]),
    }
    for kind, (statistic, of_means) in beside.items():
        further = over_pairs(
            _counts(found, [kind, "flips"] if kind != "flips" else ["flips"]),
            statistic,
            of_means,
            0.5,
            True,
            label=f"{{}}, {kind}",
        )
        parts += [replace(part, secondary=True) for part in further]
    return decide(parts)
