"""The noun Claim: a sentence of a paper, and the rule that turns tables into a verdict on it.

Two rules turn numbers into verdicts: `decide` wants the interval of every part beyond a bound, `gate` the value of
every seed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from .evidence import Evidence
from .intervals import UNKNOWN, Estimate, over_seeds

HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not tested"

# between the lines of a cell
SEPARATOR = "; "

COLUMNS = (
    "claim",
    "dataset",
    "statement",
    "statistic",
    "value",
    "low",
    "high",
    "over",
    "paper_says",
    "verdict",
    "reason",
    "rule",
    "configuration",
    "passed_over",
)


@dataclass(frozen=True)
class Verdict:
    """What the tables say of a claim.

    verdict: `holds`, `does not hold` or `not tested`. statistic: what `estimate` is an estimate of. reason: why.
    """

    verdict: str
    reason: str
    statistic: str = ""
    estimate: Estimate = UNKNOWN


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper.

    name: stable, as in `C1`. says: how the paper puts it, and how sure we are that it does. rule: the function's
    docstring says the rule in words. pooled: judged on all data sets together, instead of on each.
    """

    name: str
    statement: str
    says: str
    rule: Callable[[Evidence], Verdict]
    pooled: bool = False


# paper -> its claims, by name, in the order in which they are listed
CLAIMS: dict[str, dict[str, Claim]] = {}

Rule = Callable[[Evidence], Verdict]


def claim(paper: str, name: str, statement: str, *, says: str, pooled: bool = False) -> Callable[[Rule], Rule]:
    """Decorator that files a rule under its paper."""

    def file(rule: Rule) -> Rule:
        CLAIMS.setdefault(paper, {})[name] = Claim(name, statement, says, rule, pooled)
        return rule

    return file


def not_tested(reason: str) -> Verdict:
    """The verdict where the tables cannot say."""
    return Verdict(UNTESTED, reason)


def decide(
    parts: Sequence[tuple[str, Estimate]], statistic: str, *, above: float | None = None, below: float | None = None
) -> Verdict:
    """Holds where the interval of every part lies on the claimed side; the part least in favour is the one reported.

    Args:
        parts: label and estimate of each, such as ("train, l2", ...).
        above, below: the claimed side; one of them.

    Not tested where there is no part or one has no interval.
    """
    if not parts:
        return not_tested("no run measured this")
    listed = "; ".join(f"{label}: {found}" for label, found in parts)
    unknown = [label for label, found in parts if not found.known]
    if unknown:
        return not_tested(f"no interval for {', '.join(unknown)} (too few seeds or images); {listed}")
    if above is not None:
        label, weakest = min(parts, key=lambda part: part[1].low)
        side, bound, beyond, right_side = f"above {above:g}", above, weakest.low > above, weakest.value > above
    else:
        assert below is not None
        label, weakest = max(parts, key=lambda part: part[1].high)
        side, bound, beyond, right_side = f"below {below:g}", below, weakest.high < below, weakest.value < below
    if beyond:
        reason = f"every interval is {side}"
    elif right_side:
        reason = f"{label}: {side}, but the interval includes {bound:g}"
    else:
        reason = f"{label}: not {side}"
    return Verdict(HOLDS if beyond else FAILS, f"{reason} ({listed})", f"{statistic} ({label})", weakest)


@dataclass(frozen=True)
class Part:
    """One network's share in a verdict: the value of each seed, and the value that is reported with its interval."""

    label: str
    seeds: Sequence[float]
    estimate: Estimate

    def __str__(self) -> str:
        interval = self.estimate if self.estimate.known else f"{self.estimate.value:.3g}"
        return f"{self.label}: {interval}"


def part_of(label: str, seeds: Iterable[Estimate]) -> Part:
    """From the estimate of each seed: of one seed it is the one reported, of several their mean and its interval."""
    found = list(seeds)
    values = [one.value for one in found]
    return Part(label, values, found[0] if len(found) == 1 else over_seeds(values))


def gate(
    parts: Sequence[Part], statistic: str, *, at_least: float | None = None, below: float | None = None, aside: str = ""
) -> Verdict:
    """Holds where every seed of every part reaches the bound; the part least in favour is the one reported.

    Args:
        at_least, below: the bound; one of them. aside: what has to be said beside it, whatever the verdict.

    Not tested where there is no part or a value is missing.
    """
    said = f"; {aside}" if aside else ""
    if not parts:
        return Verdict(UNTESTED, f"no run measured this{said}", statistic, UNKNOWN)
    listed = "; ".join(map(str, parts))
    missing = [part.label for part in parts if any(math.isnan(value) for value in part.seeds)]
    if missing:
        return Verdict(UNTESTED, f"no value for {', '.join(missing)} ({listed}){said}", statistic)
    if at_least is not None:
        weakest = min(parts, key=lambda part: min(part.seeds))
        reached, bound = min(weakest.seeds) >= at_least, f"at least {at_least:g}"
    else:
        assert below is not None
        weakest = max(parts, key=lambda part: max(part.seeds))
        reached, bound = max(weakest.seeds) < below, f"below {below:g}"
    reason = f"every seed is {bound}" if reached else f"{weakest.label}: not {bound} in every seed"
    verdict = HOLDS if reached else FAILS
    return Verdict(verdict, f"{reason} ({listed}){said}", f"{statistic} ({weakest.label})", weakest.estimate)


def judge(paper: str, evidence: Evidence) -> pd.DataFrame:
    """A row for each claim of the paper and data set (`all` for pooled claims), with the columns `COLUMNS`.

    low, high: the 95 % interval, over seeds, or over images where there is one seed; `over` says which. passed_over:
    the measured rows and networks that the rule could have taken and did not, each with the reason.
    """
    rows = []
    for found in CLAIMS[paper].values():
        places = ["all"] if found.pooled else evidence.datasets()
        for place in places:
            part = evidence.of_dataset(None if found.pooled else place)
            verdict = found.rule(part)
            rows.append(
                {
                    "claim": found.name,
                    "dataset": place,
                    "statement": found.statement,
                    "statistic": verdict.statistic,
                    "value": verdict.estimate.value,
                    "low": verdict.estimate.low,
                    "high": verdict.estimate.high,
                    "over": verdict.estimate.over,
                    "paper_says": found.says,
                    "verdict": verdict.verdict,
                    "reason": verdict.reason,
                    "rule": " ".join(inspect.cleandoc(found.rule.__doc__ or "").split()),
                    "configuration": configuration(part),
                    "passed_over": SEPARATOR.join(part.passed_over()),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def configuration(evidence: Evidence) -> str:
    """The main experiments behind a verdict, in words: what was trained, on how much, how long, from which seeds."""
    described: dict[str, set[int]] = {}
    runs = pd.concat([table[["experiment", "study", "seed"]] for table in evidence.tables.values()] or [pd.DataFrame()])
    for experiment, config in sorted(evidence.configs.items()):
        if (config.get("study") or "main") == "main":
            seeds = set(runs.loc[runs["experiment"] == experiment, "seed"]) if len(runs) else set()
            described.setdefault(_in_words(config), set()).update(seeds)
    return "; ".join(f"{words}, seeds {' '.join(map(str, sorted(seeds)))}" for words, seeds in described.items())


def _in_words(config: dict[str, object]) -> str:
    def key(group: str, name: str) -> object:
        node = config.get(group)
        return node.get(name) if isinstance(node, dict) else None

    size = key("dataset", "num_train")
    activation = key("arch", "activation")
    arch = f"{key('arch', 'name')} ({activation})" if activation not in (None, "relu") else key("arch", "name")
    adversary = key("adv", "name")
    if adversary != "none":
        adversary = f"{adversary} {key('adv', 'norm')} eps {key('adv', 'eps'):.4g} {key('adv', 'steps')} steps"
    return (
        f"{key('dataset', 'name')} ({'all' if size is None else size} training images), {arch}, "
        f"{key('optim', 'name')} {key('optim', 'lr')}, batch {key('training', 'batch_size')}, "
        f"{key('training', 'epochs')} epochs, adv={adversary}, margin={key('margin', 'name')}"
    )
