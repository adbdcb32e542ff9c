"""What the commands that measure nothing take: `figures`, `report`, `publish`, `demo` and `reproduce`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from omegaconf import MISSING

from ..errors import ConfigError, did_you_mean
from .options import option

PAPERS = ("mickisch2020", "karimi2020", "fawzi2017", "li2018")
# inches, from the conferences' and journals' LaTeX styles
WIDTHS = {"icml": 3.25, "icml_wide": 6.75, "neurips": 5.5, "iclr": 5.5, "ieee": 3.5, "ieee_wide": 7.16}
FORMATS = ("png", "pdf", "svg")


@dataclass
class FinishedRuns:
    """Of which runs figures and pages are made."""

    runs: Any = option("outputs", "run folders, folders of runs, or globs; a list or one")

    def check_together(self) -> None:
        """One place becomes a list of one; raises `ConfigError` for what is neither a place nor a list of places."""
        given = self.runs
        self.runs = list(given) if isinstance(given, (list, tuple)) else [given]
        if not all(isinstance(place, str) for place in self.runs):
            raise ConfigError("runs", given, "must be a folder, or a list of folders")


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
class FiguresConfig(FinishedRuns):
    """The whole config of `bdry figures`."""

    paper: str = option("mickisch2020", "whose figures", choices=PAPERS, hidden=True)
    figure: str = option("all", "one figure's name, or all")
    style: StyleConfig = field(default_factory=StyleConfig)
    unfinished: bool = option(False, "also draw runs that are still training or were cut short")
    outputs: str = option("outputs", "figures go to <outputs>/figures/<paper>")


@dataclass
class ReportConfig(FinishedRuns):
    """The whole config of `bdry report`."""

    papers: list[str] = option(
        [*PAPERS], "whose figures and claims, as far as the runs have data", choices=PAPERS, may_be_empty=True
    )
    num_images: int = option(20, "images of each run in the explorer; 0: no explorer", unit="images", ge=0, le=1000)
    unfinished: bool = option(False, "also draw and judge runs that are still training or were cut short")
    outputs: str = option("outputs", "the page is <outputs>/report.html")


@dataclass
class PublishConfig(FinishedRuns):
    """The whole config of `bdry publish`."""

    paper: str = option("mickisch2020", "whose figures and claims", choices=PAPERS, hidden=True)
    figure: str = option("all", "one figure's name, or all; verdicts come with either")
    to: str = option("", "the folder for data, figures and verdicts, as in docs/results/mickisch2020")
    max_mb: float = option(4.0, "size of the data that is refused above", unit="MB", gt=0, le=100_000)

    def check_together(self) -> None:
        """There is a place, of a name that can be exchanged."""
        if not self.to:
            raise ConfigError("to", None, "must be given, as in to=docs/results/mickisch2020")
        if PurePath(self.to).name in ("", ".."):
            # the next publication is written beside it and takes its name
            raise ConfigError("to", self.to, "must be a folder's own name, as in to=docs/results/mickisch2020")


@dataclass
class DemoConfig:
    """The whole config of `bdry demo`."""

    seeds: list[int] = option([0, 1, 2], "of each, a standard and a PGD-adversarial training", ge=0)
    epochs: int = option(10, "of each training", unit="epochs", ge=1)
    overrides: list[str] = option([], "further overrides for every training, as in [arch=cnn]", may_be_empty=True)
    keep_points: int = option(
        10, "boundary points kept of so many of each split's images, for the page", unit="images", ge=1, le=256
    )
    outputs: str = option("outputs/demo", "runs, figures and the page go there")


SCALES = ("smoke", "cpu", "full", "paper")
LAUNCHERS = ("local", "joblib", "slurm")


@dataclass
class Training:
    """One sweep of `bdry train`."""

    study: str = option("main", "label of its runs, by which figures and claims know them")
    overrides: list[str] = option([], "of the sweep, as on the command line", may_be_empty=True)


@dataclass
class Measuring:
    """One command given to each run of a study afterwards."""

    command: str = option(MISSING, "the command, which takes run=<folder>")
    study: str = option("main", "the runs' study")
    seeds: list[int] | None = option(None, "only runs of these seeds; null: all")
    overrides: list[str] = option([], "further overrides, as on the command line", may_be_empty=True)


@dataclass
class Grid:
    """What `bdry reproduce` runs for one paper at one scale."""

    train: list[Training] = option([], "sweeps of bdry train", may_be_empty=True)
    measure: list[Measuring] = option([], "commands on the runs", may_be_empty=True)


@dataclass
class ReproduceConfig:
    """The whole config of `bdry reproduce`."""

    paper: str = option("mickisch2020", "whose study", choices=PAPERS, hidden=True)
    scale: str = option("cpu", "how large", choices=SCALES, hidden=True)
    launcher: str = option("local", "how the runs are started; may be typed launch=", choices=LAUNCHERS)
    overrides: list[str] = option([], "further overrides for every training, as in [device=cuda]", may_be_empty=True)
    published: str = option(
        "", "a publication, as in docs/results/li2018: its runs and measurements are taken as finished"
    )
    outputs: str = option("outputs", "everything goes to <outputs>/reproduce/<paper>-<scale>")
