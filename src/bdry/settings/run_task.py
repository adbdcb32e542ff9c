"""What every command that measures a finished run takes, beside the settings of its study."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from .options import option

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass
class Machine:
    """Where to compute; no result depends on it."""

    device: str = option("auto", "where to compute", choices=DEVICES, science=False)
    threads: int | None = option(
        None, "CPU threads; null: all cores, or a worker's share", ge=1, le=1024, science=False
    )


@dataclass
class Checkpoints:
    """Which of a run's checkpoints are measured."""

    checkpoint: str = option("last", "of the run: last, all (every moment kept), or a step", science=False)

    def check_together(self) -> None:
        """A checkpoint that can be named."""
        if self.checkpoint not in ("last", "all") and not self.checkpoint.isdecimal():
            raise ConfigError("checkpoint", self.checkpoint, "must be last, all, or a step")


@dataclass
class RunTask(Machine, Checkpoints):
    """The run, which of its checkpoints, and where to compute."""

    run: str = option("", "a run's folder, outputs/runs/<name>/seed=<n>; it brings its data set", science=False)

    def check_together(self) -> None:
        """There is a run."""
        if not self.run:
            raise ConfigError("run", None, "must be given, as in run=outputs/runs/<name>/seed=0")
