"""`bdry figures`: redraw from tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .options import option

PAPERS = ("mickisch2020", "karimi2020", "fawzi2017", "li2018")


@dataclass
class FiguresConfig:
    """The whole config of `bdry figures`."""

    runs: Any = option("outputs", "run folders, folders of runs, or globs; a list or one")
    paper: str = option("mickisch2020", "whose figures", choices=PAPERS, hidden=True)
    figure: str = option("all", "one figure's name, or all")
    unfinished: bool = option(False, "also draw runs that are still training or were cut short")
    outputs: str = option("outputs", "figures go to <outputs>/figures/<paper>")

    def check_together(self) -> None:
        """One place becomes a list of one."""
        self.runs = [self.runs] if isinstance(self.runs, str) else list(self.runs)
