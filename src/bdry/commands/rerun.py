"""`bdry rerun <run>`: the command that made a run. No torch here."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import BdryError, RunError, one_line
from ..runs.provenance import provenance
from ..session.made_by import command, settings_given
from ..session.python_child import run_bdry
from .show import one_run

# settings that say where to write
PLACES = ("outputs", "dataset.root")
# loggers that keep what they are given on this machine
STAYS_HERE = ("csv", "tensorboard")


class RerunError(BdryError):
    """The command was executed and failed; it has said why itself."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", help="a run's folder")
    parser.add_argument("--execute", action="store_true", help="run it here, into outputs= of the command")


def run(parsed: argparse.Namespace) -> None:
    """Prints the command, with warnings where today's code or packages differ; executes it where asked to."""
    record = one_run(parsed.run)
    known = [(entry, words) for entry in record.run.starts() if (words := settings_given(entry)) is not None]
    if not known:
        raise RunError(f"{record.run.path}: provenance.json does not say which command made it")
    made, words = known[0]
    for difference in differences(made, provenance()):
        print(f"warning: {one_line(difference)}", file=sys.stderr)
    print(command(words), flush=True)
    if parsed.execute:
        _check_reach(words)
        code = run_bdry(["train", *words])
        if code:
            raise RerunError(f"the command ended with {code}")


def _check_reach(words: Sequence[str]) -> None:
    """Raises `RunError` for a command that reaches out of this folder: its user has to say that it may.

    It writes elsewhere, calls a function by its name, which may lie in this folder, or sends numbers away.
    """
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        folder = re.fullmatch(r"(['\"]?)([\w.][\w./ -]*)\1", value)
        found = None
        if key in PLACES and (folder is None or ".." in folder[2].split("/")):
            found = "leads out of this folder"
        elif key.split(".")[0] == "arch" and ("build" in key.split(".") or "module" in re.findall(r"\w+", value)):
            found = "runs code that the run names"
        elif key == "logger" and value.strip("'\"") not in STAYS_HERE:
            found = "sends the run's numbers away"
        if found:
            raise RunError(f"{word}: {found}; type the command yourself if you mean that")


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of the code is not as it was, a line each."""
    found = []
    for key, what in (("bdry", "bdry"), ("python", "Python")):
        if then.get(key) != now.get(key):
            found.append(f"{what} was {then.get(key)}, is {now.get(key)}")
    old, new = (_mapping(entry.get("code")) for entry in (then, now))
    if old.get("commit") != new.get("commit"):
        found.append(f"the code was at commit {old.get('commit', 'unknown')}, is at {new.get('commit', 'unknown')}")
    if old.get("changed"):
        found.append("the code had changes that were not committed")
    old, new = (_mapping(entry.get("packages")) for entry in (then, now))
    found += [f"{name} was {old.get(name)}, is {new.get(name)}" for name in new if old.get(name) != new.get(name)]
    return found


def _mapping(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
