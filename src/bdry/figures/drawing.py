"""The forms in which figures are declared: what is drawn, by which function, one file for each of what.

A figure is declared by a function from runs to the data it draws and one from these data to the picture; the forms here
split the data, save each part and write its caption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..runs import RunRecord
from ..runs.differences import short_names
from ..runs.files import file_name
from .captions import caption, keep
from .points import told_apart
from .style import save
from .titles import titled

Data = Callable[[Sequence[RunRecord]], pd.DataFrame]
# a picture of these data under a title
Picture = Callable[[pd.DataFrame, str], Figure]
# draws what it can of these runs into a folder, under the figure's name; the files written
Draw = Callable[[str, Sequence[RunRecord], Path], list[Path]]
Notes = Callable[[Sequence[RunRecord], pd.DataFrame], str]


@dataclass(frozen=True)
class Drawing:
    """A figure or table of a paper.

    Args:
        name: stable; file names begin with it.
        needs: which runs have the data for it, as a message says it.
        tables: those whose rows `selection` may pass over; what it passed over is said in the caption.
        draw: makes what it can of some runs in a folder and gives the files, none where the runs have no data for it.
    """

    name: str
    needs: str
    tables: tuple[str, ...]
    draw: Draw


def each(
    data: Data,
    picture: Picture,
    what: str,
    *,
    by: Sequence[str] = ("dataset", "arch"),
    quartiles: bool | None = True,
    bands: bool = True,
    notes: Notes = lambda records, part: "",
    words: Callable[[str], str] = str,
) -> Draw:
    """A figure for each value of the columns `by`.

    Args:
        what: the caption's first sentences.
        quartiles: what the band of a curve of one seed is, as in `captions.caption`.
        bands: whether there are curves with bands over seeds, as in `captions.caption`.
        notes: sentences that depend on the runs and on what is drawn of them, for the caption's end.
        words: of a value of `by`, as the title has it.
    """

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        drawn, paths = data(records), []
        for values, part in drawn.groupby(list(by), sort=True):
            title, note = titled(name, ", ".join(map(words, values))), notes(records, part)
            text = caption(title, what, part, records, quartiles=quartiles, bands=bands, note=note)
            paths += save(picture(part, title), part, folder / file_name(name, *values), text)
        return paths

    return draw


def each_network(data: Data, picture: Picture, what: str) -> Draw:
    """A figure for each data set and architecture, without a sentence on seeds and images."""

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        drawn = data(records)
        paths = []
        for values, part in drawn.groupby(["dataset", "arch"], sort=True) if len(drawn) else ():
            title, stem = ", ".join(values), file_name(name, *values)
            paths += keep(name, title, stem, picture(part, titled(name, title)), part, records, folder, what)
        return paths

    return draw


def each_experiment(data: Data, picture: Picture, what: str) -> Draw:
    """A figure for each experiment."""

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        drawn = data(records)
        paths = []
        keys = ["dataset", "study", "experiment"]
        called = {
            (one.experiment, one.study): [f"{one.dataset}, {one.study}"]
            for one in (drawn[keys].drop_duplicates().itertuples() if len(drawn) else ())
        }
        titles = told_apart(called, records)
        for (_, study, experiment), part in drawn.groupby(keys, sort=True) if len(drawn) else ():
            title, stem = titles[experiment, study], experiment_stem(name, experiment, records)
            figure = picture(part, titled(name, title))
            paths += keep(name, title, stem, figure, part, records, folder, what)
        return paths

    return draw


def experiment_stem(name: str, experiment: str, records: Sequence[RunRecord]) -> str:
    """The name of an experiment's file, beside those of the others in `records`."""
    configs = {record.identity["experiment"]: record.config for record in records}
    return file_name(name, short_names(configs)[experiment])
