"""`bdry publish`: what verdicts and figures need of a study, small enough for a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .figures import PAPERS
from .options import option


@dataclass
class PublishConfig:
    """The whole config of `bdry publish`."""

    runs: Any = option("outputs", "run folders, folders of runs, or globs; a list or one")
    paper: str = option("mickisch2020", "whose figures and claims", choices=PAPERS, hidden=True)
    to: str = option("", "the folder for data, figures and verdicts, as in docs/results/mickisch2020")
    max_mb: float = option(4.0, "size of the data that is refused above", unit="MB", gt=0, le=100_000)

    def check_together(self) -> None:
        """There is a place; one place of runs becomes a list of one."""
        if not self.to:
            raise ConfigError("to", None, "must be given, as in to=docs/results/mickisch2020")
        self.runs = [self.runs] if isinstance(self.runs, str) else list(self.runs)
