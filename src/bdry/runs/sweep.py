"""A sweep's folder: how each of its jobs ended, beside Hydra's own files.

outputs/sweeps/<time>/
    multirun.yaml             Hydra's: what was swept
    .submitit/<job>/          launch=slurm: each job's log
    <number>/outcome.json     how the job ended; a job without had begun, and its process died
    <number>/error.txt        the traceback of one that failed
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from .files import write_json, write_text

# skipped: it had been finished before
State = Literal["finished", "skipped", "running elsewhere", "stopped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended, where to look (a run's folder, a log), and why it did not finish."""

    state: State
    place: str = ""
    reason: str = ""


class Sweep:
    """One sweep's folder; its jobs are numbered from 0."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def job(self, number: int) -> Path:
        """The job's folder, which Hydra creates when the job begins."""
        return self.path / str(number)

    def has_begun(self, number: int) -> bool:
        """Whether the job ever started."""
        return self.job(number).is_dir()

    def outcome(self, number: int) -> Outcome | None:
        """How the job ended, or None where it has not, or its process died."""
        try:
            return Outcome(**json.loads((self.job(number) / "outcome.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def outcomes(self, num_jobs: int) -> Sequence[Outcome]:
        """How each job of a sweep that is over ended."""
        return [self.outcome(number) or self._died(number) for number in range(num_jobs)]

    def end(self, number: int, outcome: Outcome) -> None:
        """Writes how the job ended."""
        self.job(number).mkdir(exist_ok=True)
        write_json(self.job(number) / "outcome.json", asdict(outcome))

    def write_error(self, number: int, traceback: str) -> Path:
        """Writes the traceback of a job that failed; its file."""
        path = self.job(number) / "error.txt"
        write_text(path, traceback)
        return path

    def _died(self, number: int) -> Outcome:
        if not self.has_begun(number):
            return Outcome("failed", "", "it never began")
        return Outcome("failed", str(self.job(number)), "its process died, or another worker's did (no memory?)")
