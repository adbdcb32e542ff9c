"""`bdry report`: runs as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .figures import PAPERS
from .options import option


@dataclass
class ReportConfig:
    """The whole config of `bdry report`."""

    runs: Any = option("outputs", "run folders, folders of runs, or globs; a list or one")
    papers: list[str] = option(
        [*PAPERS], "whose figures and claims, as far as the runs have data", choices=PAPERS, may_be_empty=True
    )
    num_images: int = option(20, "images of each run in the explorer; 0: no explorer", unit="images", ge=0, le=1000)
    unfinished: bool = option(False, "also draw and judge runs that are still training or were cut short")
    outputs: str = option("outputs", "the page is <outputs>/report.html")

    def check_together(self) -> None:
        """One place becomes a list of one."""
        self.runs = [self.runs] if isinstance(self.runs, str) else list(self.runs)
