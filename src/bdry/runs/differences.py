"""What tells configs apart, and names of experiments by it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

# where and how a run was made, and its seed: no difference between experiments
NO_DIFFERENCE = re.compile(
    r"seed|study|outputs|device|threads|logger|paper|scale|schema|published|dataset\.(root|download|subset_seed)"
    r"|training\.checkpoint_minutes|arch\.(code|built)"
)
MOST_KEYS = 3


def flattened(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf of a config by its dotted key."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted keys in which the configs are not all the same, but for those that make no difference."""
    flat = [flattened(config) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    return [
        key
        for key in keys
        if not NO_DIFFERENCE.fullmatch(key) and any(one.get(key) != flat[0].get(key) for one in flat)
    ]


def short_names(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For each experiment `<dataset>-<arch>-<adv>-<hash8>` a name without the hash, where a short difference tells it.

    That is its study, or up to three config keys in which it differs from others of its data set, architecture and
    adversary; where that does not do, the name stays.

    Args:
        configs: by experiment, each with its label `study`.
    """
    names: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for experiment in configs:
        groups.setdefault(experiment.rpartition("-")[0], []).append(experiment)
    for base, group in groups.items():
        found = {one: [base] for one in group}
        studies = {one: str(configs[one].get("study") or "main") for one in group}
        if len(set(studies.values())) > 1:
            for one in group:
                found[one] += [studies[one]] if studies[one] != "main" else []
        flat = {one: flattened(configs[one]) for one in group}
        for key in differing([configs[one] for one in group]):
            taken = Counter(map(tuple, found.values()))
            unclear = [one for one in group if taken[tuple(found[one])] > 1]
            if unclear and len({str(flat[one].get(key)) for one in unclear}) > 1:
                for one in unclear:
                    found[one].append(f"{key.rpartition('.')[2]}={flat[one].get(key)}")
        taken = Counter(map(tuple, found.values()))
        for one, parts in found.items():
            short = taken[tuple(parts)] == 1 and sum("=" in part for part in parts) <= MOST_KEYS
            names[one] = "-".join(parts) if short and len("-".join(parts)) <= 80 else one
    return names
