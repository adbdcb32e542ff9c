"""What every command that measures a finished run takes, beside the settings of its probe."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigError
from .option import option


@dataclass
class RunTask:
    """The run, which of its checkpoints, and where to compute."""

    run: str = option("", "a run's folder, outputs/runs/<name>/seed=<n>; it brings its data set", science=False)
    checkpoint: str = option("last", "of the run: last, all (every moment kept), or a step", science=False)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"), science=False)
    threads: int | None = option(None, "CPU threads; null: all cores, or a worker's share", ge=1, science=False)

    def check_together(self) -> None:
        """A run, and a checkpoint that can be named."""
        if not self.run:
            raise ConfigError("run", None, "must be given, as in run=outputs/runs/<name>/seed=0")
        if self.checkpoint not in ("last", "all") and not self.checkpoint.isdecimal():
            raise ConfigError("checkpoint", self.checkpoint, "must be last, all, or a step")

    def probe_settings(self) -> dict[str, Any]:
        """The settings of the probe alone."""
        own = {declared.name for declared in fields(RunTask)} | {"name", "moments"}
        return {declared.name: getattr(self, declared.name) for declared in fields(self) if declared.name not in own}
