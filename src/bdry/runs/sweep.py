"""A sweep's folder: how each of its jobs ended, beside Hydra's own files.

outputs/sweeps/<time>/
    multirun.yaml             Hydra's: what was swept
    jobs.json                 when it began, and what tells its jobs apart
    .submitit/<job>/          launch=slurm: each job's log
    <number>/outcome.json     how the job ended; a job without had begun, and its process died
    <number>/error.txt        the traceback of one that failed
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .files import write_json, write_text

# skipped: it had been finished before
State = Literal["finished", "skipped", "running elsewhere", "stopped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended, where to look (a run's folder, a log), and why it did not finish."""

    state: State
    place: str = ""
    reason: str = ""


@dataclass(frozen=True)
class HowFar:
    """How far a sweep is: jobs in all, jobs that have ended, and seconds left, None while no job has been worked on."""

    total: int
    ended: int
    seconds_left: float | None


class Sweep:
    """One sweep's folder; its jobs are numbered from 0."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def job(self, number: int) -> Path:
        """The job's folder, which Hydra creates when the job begins."""
        return self.path / str(number)

    def begin(self, labels: Sequence[str]) -> None:
        """Before the first job. labels: what tells each job from the others."""
        write_json(self.path / "jobs.json", {"labels": list(labels), "time": time.time()})

    def label(self, number: int) -> str:
        """What tells the job from the others; "" where the sweep does not say."""
        labels = self._jobs().get("labels", [])
        return str(labels[number]) if number < len(labels) else ""

    def how_far(self) -> HowFar | None:
        """How far the sweep is, from the jobs that have ended; None where it does not say how many it has.

        What is left takes as long as the jobs that were worked on took in the time since the sweep began, however many
        of them run side by side.
        """
        jobs = self._jobs()
        if not jobs:
            return None
        total = len(jobs["labels"])
        outcomes = [outcome for number in range(total) if (outcome := self.outcome(number)) is not None]
        worked = sum(outcome.state == "finished" for outcome in outcomes)
        each = (time.time() - float(jobs["time"])) / worked if worked else None
        return HowFar(total, len(outcomes), None if each is None else each * (total - len(outcomes)))

    def _jobs(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "jobs.json").read_text(encoding="utf-8"))
            return {"labels": [*found["labels"]], "time": float(found["time"])}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def has_begun(self, number: int) -> bool:
        """Whether the job ever started."""
        return self.job(number).is_dir()

    def outcome(self, number: int) -> Outcome | None:
        """How the job ended, or None where it has not, or its process died."""
        try:
            return Outcome(**json.loads((self.job(number) / "outcome.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def outcomes(self, num_jobs: int, *, interrupted: bool = False) -> Sequence[Outcome]:
        """How each job of a sweep that is over ended; of an interrupted one the jobs without an outcome are stopped."""
        stopped = Outcome("stopped", "", "interrupted") if interrupted else None
        return [self.outcome(number) or stopped or self._died(number) for number in range(num_jobs)]

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
