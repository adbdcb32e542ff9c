"""What tells configs apart, and names of experiments by it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

# what stands for an experiment
K = TypeVar("K", bound=Hashable)
# where and how a run was made, and its seed: no difference between experiments
NO_DIFFERENCE = re.compile(
    r"seed|study|outputs|device|threads|logger|paper|scale|schema|published|dataset\.(root|download|subset_seed)"
    r"|training\.checkpoint_minutes|arch\.(code|built)"
)
# so many keys, and letters, are still short
MOST_KEYS, LONGEST = 3, 80


def flattened(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf of a config by its dotted key."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a config that tell experiments apart."""
    return {key: value for key, value in flattened(config).items() if not NO_DIFFERENCE.fullmatch(key)}


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted keys in which the configs are not all the same, but for those that make no difference."""
    flat = [settings(config) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    return [key for key in keys if any(one.get(key) != flat[0].get(key) for one in flat)]


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
        for one, parts in _told_apart(found, configs).items():
            name = "-".join(parts or [one])
            names[one] = name if len(name) <= LONGEST else one
    return names


def labels(called: Mapping[K, Sequence[str]], configs: Mapping[K, Mapping[str, Any]]) -> dict[K, list[str] | None]:
    """What legends add to the names of experiments, so that no two in a picture are called the same.

    That is nothing where a name is the only one, else up to three config keys in which they differ, as in `lr=0.01`;
    None where that does not do.

    Args:
        called: by experiment, what it is called and the picture that it is in.
        configs: by experiment.
    """
    groups: dict[tuple[str, ...], dict[K, list[str]]] = {}
    for experiment, name in called.items():
        groups.setdefault(tuple(name), {})[experiment] = []
    return {one: parts for group in groups.values() for one, parts in _told_apart(group, configs).items()}


def _told_apart(found: Mapping[K, Sequence[str]], configs: Mapping[K, Mapping[str, Any]]) -> dict[K, list[str] | None]:
    """The parts of each experiment's name, and `key=value` where others have the same; None where that does not do."""
    parts = {one: [*name] for one, name in found.items()}
    flat = {one: flattened(configs[one]) for one in found}
    for key in differing([configs[one] for one in found]):
        taken = Counter(map(tuple, parts.values()))
        unclear = [one for one in found if taken[tuple(parts[one])] > 1]
        if unclear and len({str(flat[one].get(key)) for one in unclear}) > 1:
            # of a group such as optim the name is the choice: optim=adam
            group, _, leaf = key.rpartition(".")
            for one in unclear:
                parts[one].append(f"{group if group and leaf == 'name' else leaf}={flat[one].get(key)}")
    taken = Counter(map(tuple, parts.values()))
    return {
        one: name if taken[tuple(name)] == 1 and sum("=" in part for part in name) <= MOST_KEYS else None
        for one, name in parts.items()
    }
