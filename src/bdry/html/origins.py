"""Where a run came from: its config, its measurements' configs, its starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import RunError
from ..runs import RunRecord


@dataclass(frozen=True)
class Start:
    """One start of a run, in words."""

    time: str
    command: str
    code: str
    machine: str


@dataclass(frozen=True)
class Origin:
    """A run's configs as YAML, those of its measurements by name, and its starts."""

    name: str
    config: str
    measurements: dict[str, str]
    starts: list[Start]


def origin(record: RunRecord, starts: Sequence[tuple[str, Mapping[str, Any]]]) -> Origin:
    """`starts`: the command line of each start, and its entry in provenance.json."""
    measurements = {}
    for folder in record.measurements():
        try:
            measurements[folder.name] = _yaml(folder.read_config())
        except RunError as error:
            measurements[folder.name] = str(error)
    return Origin(record.run.name, _yaml(record.config), measurements, [_start(*start) for start in starts])


def _yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _start(command: str, entry: Mapping[str, Any]) -> Start:
    commit = _mapping(entry, "code")
    code = [f"bdry {entry.get('bdry', 'unknown')}"]
    if commit:
        code.append(f"commit {str(commit.get('commit'))[:12]}{' with changes' if commit.get('changed') else ''}")
    code.append(f"Python {entry.get('python', 'unknown')}")
    code += [f"{name} {version}" for name, version in _mapping(entry, "packages").items()]
    machine = [str(entry.get("device_name") or entry.get("device") or "device unknown")]
    if entry.get("threads"):
        machine.append(f"{entry['threads']} threads")
    machine.append(str(_mapping(entry, "machine").get("system", "system unknown")))
    return Start(str(entry.get("time", "unknown")), command, ", ".join(code), ", ".join(machine))


def _mapping(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = entry.get(key)
    return found if isinstance(found, dict) else {}
