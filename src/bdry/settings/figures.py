"""`bdry figures`: redraw from tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, did_you_mean
from .options import option

PAPERS = ("mickisch2020", "karimi2020", "fawzi2017", "li2018")
# inches, from the conferences' and journals' LaTeX styles
WIDTHS = {"icml": 3.25, "icml_wide": 6.75, "neurips": 5.5, "iclr": 5.5, "ieee": 3.5, "ieee_wide": 7.16}
FORMATS = ("png", "pdf", "svg")


@dataclass
class StyleConfig:
    """How figures look on a page."""

    width: Any = option(None, f"inches, or the column of {', '.join(WIDTHS)}; null: as designed", unit="inches")
    height: float | None = option(None, "null: follows the width", unit="inches", gt=0.5, le=40)
    font: str | None = option(None, "family, as in 'Times New Roman' or serif; null: DejaVu Sans")
    size: float = option(9.0, "of axis labels; all other letters follow", unit="points", ge=4, le=24)
    format: list[str] = option(["png", "pdf"], "files of each figure", choices=FORMATS)
    dpi: int = option(150, "of PNGs, and of pictures inside the others", unit="dots an inch", ge=30, le=1200)
    titles: bool = option(True, "false: no title, where the paper's caption says what is shown")

    def check_together(self) -> None:
        """A width that is a number, or a column's name, which becomes its number."""
        if isinstance(self.width, str):
            if self.width not in WIDTHS:
                hint = did_you_mean(self.width, WIDTHS)
                raise ConfigError("width", self.width, f"no inches and not one of {', '.join(WIDTHS)}{hint}")
            self.width = WIDTHS[self.width]
        if self.width is not None and (isinstance(self.width, bool) or not isinstance(self.width, (int, float))):
            raise ConfigError("width", self.width, f"no inches and not one of {', '.join(WIDTHS)}")
        if self.width is not None and not 1 <= self.width <= 40:
            raise ConfigError("width", self.width, "must be from 1 to 40 inches")


@dataclass
class FiguresConfig:
    """The whole config of `bdry figures`."""

    runs: Any = option("outputs", "run folders, folders of runs, or globs; a list or one")
    paper: str = option("mickisch2020", "whose figures", choices=PAPERS, hidden=True)
    figure: str = option("all", "one figure's name, or all")
    style: StyleConfig = field(default_factory=StyleConfig)
    unfinished: bool = option(False, "also draw runs that are still training or were cut short")
    outputs: str = option("outputs", "figures go to <outputs>/figures/<paper>")

    def check_together(self) -> None:
        """One place becomes a list of one."""
        self.runs = [self.runs] if isinstance(self.runs, str) else list(self.runs)
