"""Verdicts by a bound that every network and seed has to reach, and the tables of finished runs by network.

A gate is a bound on the value itself; the interval stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .claim import FAILS, HOLDS, UNTESTED, Verdict
from .evidence import Evidence
from .intervals import UNKNOWN, Estimate, over_seeds

# of activations, those that make a network piecewise linear
PIECEWISE_LINEAR = ("relu", "leaky_relu")


@dataclass(frozen=True)
class Network:
    """One experiment: how claims call it, its activation, and rows of a table by seed, at the last moment measured."""

    name: str
    activation: str
    seeds: Mapping[int, pd.DataFrame]

    @property
    def is_piecewise_linear(self) -> bool:
        """Whether its activation has kinks and no curvature between them."""
        return self.activation in PIECEWISE_LINEAR


@dataclass(frozen=True)
class Part:
    """One network's share in a verdict: the value of each seed, and the value that is reported with its interval."""

    label: str
    seeds: Sequence[float]
    estimate: Estimate

    def __str__(self) -> str:
        interval = self.estimate if self.estimate.known else f"{self.estimate.value:.3g}"
        return f"{self.label}: {interval}"


def networks(evidence: Evidence, table: str, **where: Any) -> list[Network]:
    """The standard training's networks that have such rows, as a command measured them or else a probe in training.

    Ordered by name. Of a run's several measurements that have the table, the one with most rows counts.
    """
    rows = evidence.rows(f"measured/{table}", training="standard")
    if rows.empty:
        rows = evidence.rows(table, training="standard").assign(measurement="")
    found = []
    for (run, study, arch), part in rows.groupby(["run", "study", "arch"]):
        config = evidence.configs.get(run, {}).get("arch", {})
        activation = str(config.get("activation", "none"))
        name = f"{arch} {activation}" if study == "main" else f"{arch} {activation} ({study})"
        seeds = {int(seed): _where(_chosen(of_seed), where) for seed, of_seed in part.groupby("seed")}
        if not all(map(len, seeds.values())):
            continue
        found.append(Network(name, activation, seeds))
    return sorted(found, key=lambda network: network.name)


def _chosen(rows: pd.DataFrame) -> pd.DataFrame:
    last = rows[rows["step"] == rows["step"].max()]
    largest = last["measurement"].value_counts(sort=False).idxmax()
    return last[last["measurement"] == largest]


def _where(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    for column, value in where.items():
        rows = rows[rows[column].isin(value) if isinstance(value, list) else rows[column] == value]
    return rows


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
