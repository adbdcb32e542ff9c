"""`bdry reproduce`: a paper's whole study, and the grid of commands that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .figures import PAPERS
from .options import option

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
