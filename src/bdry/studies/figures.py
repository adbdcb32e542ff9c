"""Every figure by its paper and a stable name; each is declared beside the study whose tables it draws."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import RunError, UsageError, did_you_mean, reason
from ..figures.drawing import Drawing
from ..figures.titles import TITLES
from ..runs import RunRecord
from ..runs.files import refuse_links, write_text
from ..selection import in_words, passed_over
from ..selection.faults import NO_MEASUREMENTS, at_fault, fault
from . import import_all

_BY_NAME = {drawing.name: drawing for figures in import_all("figures") for drawing in figures.FIGURES}
FIGURES: dict[str, dict[str, Drawing]] = {
    paper: {name: _BY_NAME[name] for name in titles} for paper, titles in TITLES.items()
}


def check_figure(paper: str, figure: str) -> None:
    """Raises `UsageError` where the paper has no such figure, with the names that it has."""
    available = FIGURES[paper]
    if figure != "all" and figure not in available:
        hint = did_you_mean(figure, available, "figure=")
        raise UsageError(f"figure={figure}: no such figure of {paper}{hint} (choices: all, {', '.join(available)})")


def draw_figures(
    paper: str,
    figure: str,
    records: Sequence[RunRecord],
    folder: Path,
    say: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Path]:
    """Draws one figure of a paper, or `all`, from the tables of `records`; the files written.

    A figure is PNG, PDF, CSV and caption, a table CSV and Markdown. `all` leaves out what these runs have no data for.
    A caption says which measured rows of its experiments were passed over, and why. A run whose tables a figure cannot
    be drawn from is left out of it, and standard error says so.

    Args:
        paper: mickisch2020, li2018, karimi2020 or fawzi2017.
        figure: a name that `bdry figures --help` lists, or `all`.
        records: as `bdry.runs.find_runs` gives them.
        folder: where the files go; made if it is not there.
        say: is told, before each figure, how many of how many are done, and its name.

    Raises:
        UsageError: the paper has no such figure, or the runs have no data for the one that is named.
        RunError: a figure cannot be drawn, and no run of several is at fault alone.
    """
    check_figure(paper, figure)
    available = FIGURES[paper]
    refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)

    @functools.cache
    def passed(table: str) -> list[str]:
        return in_words(passed_over(records, [table]))

    if figure == "all":
        drawn: list[Path] = []
        for number, drawing in enumerate(available.values()):
            say(number, len(available), drawing.name)
            drawn += _draw(drawing, records, folder, passed)
        return drawn
    paths = _draw(available[figure], records, folder, passed)
    if not paths:
        raise UsageError(
            f"figure={figure}: nothing to draw in these {len(records)} runs; needs {available[figure].needs}"
        )
    return paths


def _draw(
    drawing: Drawing, records: Sequence[RunRecord], folder: Path, passed: Callable[[str], list[str]]
) -> list[Path]:
    try:
        paths = drawing.draw(drawing.name, records, folder)
    except NO_MEASUREMENTS as error:
        by_path = {record.run.path: record for record in records}
        faults = at_fault([*by_path], lambda some: _fault(drawing, [by_path[path] for path in some]))
        sound = [record for path, record in by_path.items() if path not in faults]
        if not faults or not sound:
            why = f"cannot be drawn from the tables of these runs ({reason(error)})"
            raise RunError(f"figure={drawing.name}: {why}") from error
        for path, why in faults.items():
            print(f"skipped: {path}: figure={drawing.name} cannot be drawn from its tables ({why})", file=sys.stderr)
        return _draw(drawing, sound, folder, passed)
    for path in paths:
        if path.suffix == ".md":
            _say_passed_over(path, [line for table in drawing.tables for line in passed(table)])
    return paths


def _fault(drawing: Drawing, records: Sequence[RunRecord]) -> str:
    """Why a figure cannot be drawn of these runs, or ""."""
    with tempfile.TemporaryDirectory() as place:
        return fault(lambda: drawing.draw(drawing.name, records, Path(place)))


def _say_passed_over(caption: Path, passed: Sequence[str]) -> None:
    """Adds to a caption what was passed over of the experiments that it names."""
    text = caption.read_text(encoding="utf-8")
    lines = [f"- {line}" for line in passed if f"`{line.partition(',')[0]}`" in text]
    if lines:
        write_text(caption, "\n".join([text, "Measured, and passed over:", "", *lines]) + "\n")
