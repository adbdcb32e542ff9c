"""The tables of finished runs by network, at the last moment measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .evidence import Evidence, where_columns

# of activations, those that make a network piecewise linear
PIECEWISE_LINEAR = ("relu", "leaky_relu")


@dataclass(frozen=True)
class Network:
    """One experiment: how claims call it, its activation, and rows of a table by seed, at the last moment measured.

    lacking: in words, the seeds that were measured and have no such rows; empty where all have.
    """

    name: str
    activation: str
    seeds: Mapping[int, pd.DataFrame]
    lacking: str = ""

    @property
    def is_piecewise_linear(self) -> bool:
        """Whether its activation has kinks and no curvature between them."""
        return self.activation in PIECEWISE_LINEAR


def networks(evidence: Evidence, table: str, **where: Any) -> list[Network]:
    """The standard training's networks of which at least one seed has such rows, ordered by name."""
    rows = evidence.rows(table, training="standard")
    names = _names(evidence)
    found = []
    for experiment, part in rows.groupby("experiment"):
        name, activation = names[str(experiment)], _activation(evidence, str(experiment))
        last = part[part["step"] == part.groupby("seed")["step"].transform("max")]
        seeds = {int(seed): where_columns(of_seed, where) for seed, of_seed in last.groupby("seed")}
        kept = {seed: chosen for seed, chosen in seeds.items() if len(chosen)}
        lacking = [str(seed) for seed in seeds if seed not in kept]
        if kept:
            words = f"{len(lacking)} of {len(seeds)} seeds have no such rows ({', '.join(lacking)})" if lacking else ""
            found.append(Network(name, activation, kept, words))
    return sorted(found, key=lambda network: network.name)


def _names(evidence: Evidence) -> dict[str, str]:
    """How claims call each experiment: by architecture, activation and study, and by its hash where several are alike.

    It is the same for all tables, whichever of them an experiment has.
    """
    keys = ["experiment", "study", "arch"]
    parts = [table.loc[table["training"] == "standard", keys] for table in evidence.tables.values()]
    runs = pd.concat(parts or [pd.DataFrame(columns=keys)]).drop_duplicates()
    called = {
        str(row.experiment): f"{row.arch} {_activation(evidence, row.experiment)}"
        + (f" ({row.study})" if row.study != "main" else "")
        for row in runs.itertuples()
    }
    taken = Counter(called.values())
    return {
        experiment: f"{name} ({experiment.rpartition('-')[2]})" if taken[name] > 1 else name
        for experiment, name in called.items()
    }


def _activation(evidence: Evidence, experiment: str) -> str:
    arch: Mapping[str, Any] = evidence.configs.get(experiment, {}).get("arch", {})
    return str(arch.get("activation", "none"))
