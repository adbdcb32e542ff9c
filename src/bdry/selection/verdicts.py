"""From effects to a verdict: supported, contradicted, undecided or not run. One rule for every claim.

A claim has parts, such as norms or splits, each an effect with the side of a bound on which it is claimed to lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .effects import FEWEST_SEEDS, MOST_SEEDS, Effect

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = "supported", "contradicted", "undecided", "not run"

# between the lines of a cell
SEPARATOR = "; "
# effects nearer to the bound than this are as good as none: 5 % of a margin, 0.05 of a rate or a correlation
BAND = 0.05


@dataclass(frozen=True)
class Part:
    """One effect of a claim.

    Args:
        label: which, such as `train, l2`.
        statistic: what it is, such as `relative change of the mean margin`.
        effect: its value and interval.
        bound: what it is claimed to be beyond.
        above: whether it is claimed to be above the bound, else below.
        band: effects nearer to the bound than this count as no effect.
        secondary: told beside the verdict, without a part in it.
        left_out: how many seeds, pairs or points have no value, and why.
    """

    label: str
    statistic: str
    effect: Effect
    bound: float
    above: bool
    band: float = BAND
    secondary: bool = False
    left_out: str = ""

    @property
    def verdict(self) -> str:
        """Of this part alone: where its interval lies."""
        effect = self.effect
        if not effect.known:
            return UNDECIDED
        if effect.low > self.bound if self.above else effect.high < self.bound:
            return SUPPORTED
        if effect.high < self.bound if self.above else effect.low > self.bound:
            return CONTRADICTED
        if self.bound - self.band < effect.low and effect.high < self.bound + self.band:
            return CONTRADICTED
        return UNDECIDED

    @property
    def side(self) -> str:
        """The claimed side in words, such as `below`."""
        return "above" if self.above else "below"

    @property
    def p_value(self) -> float:
        """One-sided, of the effect not being on the claimed side; nan where there is no interval."""
        return self.effect.p_value(self.bound, self.above)

    @property
    def detectable(self) -> float:
        """The effect nearest to the bound that these data would have shown in 80 % of studies."""
        return self.effect.detectable(self.bound, self.above)

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would decide at this mean and spread; None where it is not known or too many."""
        return self.effect.seeds_needed(self.bound)

    def outlook(self) -> str:
        """Of an undecided part: half-width, what these data could have shown, how many seeds would decide."""
        effect = self.effect
        if not effect.known:
            few = effect.num_seeds < FEWEST_SEEDS
            return f"{effect.num_seeds} of the {FEWEST_SEEDS} seeds that an interval needs" if few else "no interval"
        seeds = self.seeds_needed
        needed = (
            f"{seeds} seeds would decide at this mean and spread"
            if seeds
            else f"no number of seeds up to {MOST_SEEDS} would decide"
        )
        return f"half-width {effect.half_width:.2g}; 80 % power for {self.detectable:.3g}; {needed}"


@dataclass(frozen=True)
class Verdict:
    """What the tables say of a claim on one data set: the verdict, its parts, and what has to be said beside it."""

    verdict: str
    parts: tuple[Part, ...] = ()
    reason: str = ""

    @property
    def p_value(self) -> float:
        """Of the claim: that all of its primary parts hold, hence the largest of theirs; nan where one has none."""
        values = [part.p_value for part in self.parts if not part.secondary]
        return max(values) if values and not any(map(math.isnan, values)) else math.nan


def in_a_cell(*lines: str) -> str:
    """The lines that are not empty, as a cell of a table has them."""
    return SEPARATOR.join(line for line in lines if line)


def decide(parts: Sequence[Part], reason: str = "", *, unless: str = "") -> Verdict:
    """The claim's verdict from its primary parts.

    Supported where every interval is beyond its bound. Contradicted where one is wholly on the other side of it, or
    wholly within the band around it. Undecided else, with an outlook. Not run where there is no part.

    Args:
        parts: the effects; the secondary ones have no part in the verdict.
        reason: what has to be said beside it.
        unless: why the parts do not speak of the claim, where a precondition is not met: then it is undecided.
    """
    judged = [part for part in parts if not part.secondary]
    if not judged:
        return Verdict(NOT_RUN, tuple(parts), reason or "no run measured this")
    found = [part.verdict for part in judged]
    verdict = CONTRADICTED if CONTRADICTED in found else SUPPORTED if set(found) == {SUPPORTED} else UNDECIDED
    outlooks = [f"{part.label}: {part.outlook()}" for part in judged if part.verdict == UNDECIDED]
    return Verdict(UNDECIDED if unless else verdict, tuple(parts), in_a_cell(unless, reason, *outlooks))


def not_run(reason: str) -> Verdict:
    """The verdict where no run has what the claim needs."""
    return Verdict(NOT_RUN, (), reason)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; nan stays nan and is not counted."""
    known = sorted((value, i) for i, value in enumerate(p_values) if not math.isnan(value))
    adjusted, largest = list(p_values), 0.0
    for rank, (value, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[i] = largest
    return adjusted
