"""`bdry rerun <run>`: the command that made a run. No torch here."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from ..errors import BdryError, RunError
from ..runs.provenance import provenance
from .show import command, one_run, starts


class RerunError(BdryError):
    """The command was executed and failed; it has said why itself."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", help="a run's folder")
    parser.add_argument("--execute", action="store_true", help="run it here, into outputs= of the command")


def run(parsed: argparse.Namespace) -> None:
    """Prints the command, with warnings where today's code or packages differ; executes it where asked to."""
    record = one_run(parsed.run)
    entries = [entry for entry in starts(record.run) if isinstance(entry.get("overrides"), list)]
    if not entries:
        raise RunError(f"{record.run.path}: provenance.json does not say which command made it")
    made = entries[0]
    for difference in differences(made, provenance()):
        print(f"warning: {difference}", file=sys.stderr)
    print(command(made), flush=True)
    if parsed.execute:
        code = subprocess.call([sys.executable, "-m", "bdry", "train", *map(str, made["overrides"])])
        if code:
            raise RerunError(f"the command ended with {code}")


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of the code is not as it was, a line each."""
    found = []
    for key, what in (("bdry", "bdry"), ("python", "Python")):
        if then.get(key) != now.get(key):
            found.append(f"{what} was {then.get(key)}, is {now.get(key)}")
    old, new = (entry.get("code") or {} for entry in (then, now))
    if old.get("commit") != new.get("commit"):
        found.append(f"the code was at commit {old.get('commit', 'unknown')}, is at {new.get('commit', 'unknown')}")
    if old.get("changed"):
        found.append("the code had changes that were not committed")
    old, new = (entry.get("packages") or {} for entry in (then, now))
    found += [f"{name} was {old.get(name)}, is {new.get(name)}" for name in new if old.get(name) != new.get(name)]
    return found
