"""The noun Claim: a sentence of a paper with the rule that turns tables into a verdict on it, and its rows."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..errors import reason
from .evidence import Cell, Evidence
from .faults import NO_MEASUREMENTS, at_fault, fault
from .verdicts import NOT_RUN, SEPARATOR, Part, Verdict, holm, in_a_cell, not_run

ABSTRACT, SECONDARY, THEORY, OURS = "abstract", "secondary", "theory", "ours"
# whose claim it is, in the order in which claims are listed
WHOSE = {
    ABSTRACT: "the paper's, in its abstract",
    SECONDARY: "the paper's, as other sources tell it",
    THEORY: "theory's",
    OURS: "ours",
}

COLUMNS = (
    "claim",
    "dataset",
    "whose",
    "primary",
    "checks",
    "statement",
    "part",
    "secondary",
    "statistic",
    "scale",
    "value",
    "low",
    "high",
    "over",
    "num_seeds",
    "left_out",
    "bound",
    "side",
    "band",
    "part_verdict",
    "verdict",
    "p_value",
    "p_holm",
    "detectable",
    "seeds_needed",
    "reason",
    "passed_over",
    "rule",
    "paper_says",
    "configuration",
)

Rule = Callable[[Evidence], Verdict]


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper.

    Args:
        name: stable, as in `C1`.
        statement: the sentence.
        says: how the paper puts it, and how sure we are that it does.
        whose: claim it is, one of `WHOSE`.
        rule: its docstring says the rule in words.
        primary: whether it is the paper's primary claim; the others are exploratory.
        can_fail: False of an identity or a theorem in the limit, which checks the implementation.
        needs: the (data set, network) of which it is to be judged; network "" stands for any.
    """

    name: str
    statement: str
    says: str
    whose: str
    rule: Rule
    primary: bool = False
    can_fail: bool = True
    needs: tuple[tuple[str, str], ...] = ()


# paper -> its claims, by name, in the order in which they are listed
CLAIMS: dict[str, dict[str, Claim]] = {}
# paper -> the cells of which its rules take all rows together; the other papers' rules take each experiment by itself
CELLS: dict[str, Cell] = {}


def claim(
    paper: str,
    name: str,
    statement: str,
    *,
    says: str,
    whose: str,
    primary: bool = False,
    can_fail: bool = True,
    needs: Iterable[tuple[str, str]] = (),
) -> Callable[[Rule], Rule]:
    """Decorator that files a rule under its paper; the arguments are those of `Claim`."""
    assert whose in WHOSE

    def file(rule: Rule) -> Rule:
        found = Claim(name, statement, says, whose, rule, primary, can_fail, tuple(needs))
        CLAIMS.setdefault(paper, {})[name] = found
        return rule

    return file


def judge(
    paper: str, evidence: Evidence, say: Callable[[int, int, str], None] = lambda done, total, name: None
) -> pd.DataFrame:
    """A row for each claim of the paper, data set and part, with the columns `COLUMNS`.

    A data set or network that the claim is to be judged on and no run has is a row `not run`. low, high: the 95 %
    interval. left_out: seeds, pairs, points and runs that have no value. p_holm: adjusted over the paper's primary
    claim's data sets. passed_over: the measured rows that the rule could have taken and did not, each with the reason.

    Args:
        paper: mickisch2020, li2018, karimi2020 or fawzi2017.
        evidence: the rows that count.
        say: is told, before each claim, how many of how many are judged, and its name.
    """
    rows: list[dict[str, Any]] = []
    primaries: dict[str, float] = {}
    datasets = evidence.datasets()
    parts = {dataset: evidence.of_dataset(dataset) for dataset in datasets}
    if paper in CELLS:
        parts = {dataset: _of_one_experiment(part, CELLS[paper]) for dataset, part in parts.items()}
    for number, found in enumerate(CLAIMS[paper].values()):
        say(number, len(CLAIMS[paper]), found.name)
        named = dict.fromkeys(dataset for dataset, _ in found.needs)
        for dataset in [*datasets, *(name for name in named if name not in datasets)]:
            part = parts[dataset].unasked() if dataset in parts else evidence.of_dataset(dataset)
            if dataset in parts:
                verdict, part, skipped = _verdict(found, part)
            else:
                verdict, skipped = not_run("no run is of this data set"), []
            if found.primary:
                primaries[dataset] = verdict.p_value
            about = {
                "claim": found.name,
                "dataset": dataset,
                "whose": found.whose,
                "primary": found.primary,
                "checks": not found.can_fail,
                "statement": found.statement,
                "verdict": verdict.verdict,
                "rule": " ".join(inspect.cleandoc(found.rule.__doc__ or "").split()),
                "paper_says": found.says,
                "configuration": configuration(part),
                "passed_over": SEPARATOR.join([*part.passed_over(), *skipped]),
            }
            missing = [about | _no_part(network) for network in _missing(found, dataset, part)]
            shown = [_of_part(one, part.unfinished) for one in verdict.parts]
            if not shown and (dataset in parts or not missing):
                shown = [_no_part("", part.unfinished)]
            rows += [about | one | {"reason": verdict.reason} for one in shown]
            rows += missing
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "p_holm"])
    adjusted = dict(zip(primaries, holm(list(primaries.values())), strict=True))
    held = [adjusted.get(row.dataset, math.nan) if row.primary else math.nan for row in table.itertuples()]
    return table.assign(p_holm=held)[list(COLUMNS)]


def _of_one_experiment(evidence: Evidence, cell: Cell) -> Evidence:
    """`Evidence.of_one_experiment`; says on standard error which experiments do not count."""
    chosen, reasons = evidence.of_one_experiment(cell)
    for experiment, why in reasons.items():
        print(f"passed over: {experiment} ({why})", file=sys.stderr)
    return chosen


def _verdict(found: Claim, part: Evidence) -> tuple[Verdict, Evidence, list[str]]:
    """The verdict on some evidence, what of it the rule could take, and in words what it could not, told as well.

    Tables that fit their schemas may hold what no measurement writes, such as an image twice. A run at fault is left
    out, so that it hides no other.
    """
    try:
        return found.rule(part), part, []
    except NO_MEASUREMENTS as error:
        runs = part.runs()
        faults = at_fault(runs, lambda some: fault(lambda: found.rule(part.of_runs(some))))
        if not faults or len(faults) == len(runs):
            return not_run(f"cannot be judged from the tables of these runs ({reason(error)})"), part, []
    skipped = [
        f"{experiment}, seed {seed}: {found.name} cannot be judged from its tables ({why})"
        for (experiment, seed), why in faults.items()
    ]
    for words in skipped:
        print(f"skipped: {words}", file=sys.stderr)
    verdict, taken, more = _verdict(found, part.of_runs([run for run in runs if run not in faults]))
    return verdict, taken, [*(words.replace(SEPARATOR, ", ") for words in skipped), *more]


def _of_part(part: Part, unfinished: str) -> dict[str, Any]:
    effect = part.effect
    return {
        "part": part.label,
        "secondary": part.secondary,
        "statistic": part.statistic,
        "scale": effect.scale.name,
        "value": effect.value,
        "low": effect.low,
        "high": effect.high,
        "over": effect.over,
        "num_seeds": effect.num_seeds,
        "left_out": in_a_cell(part.left_out, unfinished),
        "bound": part.bound,
        "side": part.side,
        "band": part.band,
        "part_verdict": part.verdict,
        "p_value": part.p_value,
        "detectable": part.detectable,
        "seeds_needed": part.seeds_needed if part.seeds_needed is not None else math.nan,
    }


def _no_part(network: str, unfinished: str = "") -> dict[str, Any]:
    """The row of what was not measured."""
    numbers = ("value", "low", "high", "bound", "band", "p_value", "detectable", "seeds_needed")
    words = dict.fromkeys(("statistic", "scale", "over", "side"), "")
    row = dict.fromkeys(numbers, math.nan) | words | {"num_seeds": 0, "left_out": unfinished, "part_verdict": NOT_RUN}
    reason = f"no run is of the network {network}" if network else ""
    return row | {"part": network, "secondary": False, "reason": reason}


def _missing(found: Claim, dataset: str, evidence: Evidence) -> list[str]:
    """The networks that the claim is to be judged on and no run on this data set has."""
    networks = {network for name, network in found.needs if name == dataset and network}
    return sorted(networks - evidence.networks())


def configuration(evidence: Evidence) -> str:
    """The main experiments behind a verdict, in words: what was trained, on how much, how long, from which seeds."""
    described: dict[str, set[int]] = {}
    runs = pd.concat([table[["experiment", "study", "seed"]] for table in evidence.tables.values()] or [pd.DataFrame()])
    for experiment, config in sorted(evidence.configs.items()):
        if (config.get("study") or "main") == "main":
            seeds = set(runs.loc[runs["experiment"] == experiment, "seed"]) if len(runs) else set()
            described.setdefault(_in_words(config), set()).update(seeds)
    return SEPARATOR.join(f"{words}, seeds {' '.join(map(str, sorted(seeds)))}" for words, seeds in described.items())


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
