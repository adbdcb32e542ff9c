"""Commands about runs that are there already: plain arguments instead of a config. Each is a file in `commands/`."""

from __future__ import annotations

import argparse
import importlib
import re
from typing import NoReturn

from ..commands import module_of
from ..errors import UsageError
from ..leaving import said

# command -> its line of help; the task's module has `arguments(parser)` and `run(parsed)`
PLAIN = {
    "runs": "list runs: what was trained, how far, how well, and whether it still runs",
    "show": "everything about one run",
    "compare": "runs or experiments side by side: what differs in the config, and the effects over seeds",
    "rerun": "the command that made a run, printed or executed",
    "export": "configs, tables, figures and provenance of runs as one archive",
    "doctor": "check this installation in a few minutes: versions, devices, data, estimators against exact answers",
}

# folders may be given as the other commands take them
_PLACE = re.compile(r"^runs?=")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, like everyone else's here."""

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError`."""
        raise UsageError(f"{message} ({self.prog} --help lists the arguments)")


def run_plain(command: str, words: list[str]) -> None:
    """Parses the words and runs the task."""
    task = importlib.import_module(module_of(command))
    parser = Parser(prog=f"bdry {command}", description=PLAIN[command])
    task.arguments(parser)
    try:
        # flags may stand among the places and filters
        parsed = parser.parse_intermixed_args(_joined([_PLACE.sub("", word) for word in words]))
    except SystemExit:
        # argparse has printed its help
        return
    for name, value in vars(parsed).items():
        # argparse takes a value of two dashes away
        if isinstance(value, list) and isinstance(parser.get_default(name), str):
            parser.error(f"argument --{name}: expected one argument")
    with said():
        task.run(parsed)


def _joined(words: list[str]) -> list[str]:
    """`--sort -linf` as `--sort=-linf`, which argparse takes for another flag otherwise."""
    if "--sort" in words[:-1]:
        at = words.index("--sort")
        return [*words[:at], f"--sort={words[at + 1]}", *words[at + 2 :]]
    return words
