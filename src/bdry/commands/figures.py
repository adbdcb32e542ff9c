"""`bdry figures`: figures, results table and verdicts again, from the tables of runs. No torch.

`bdry publish` and `bdry reproduce` write and show them in the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from ..claims import CLAIMS, judge
from ..errors import ConfigError, unwritable
from ..figures import forest
from ..figures.style import Style, known_font, styled, write_table
from ..runs import RunRecord, find_runs, find_unfinished
from ..selection import Evidence, in_words, page, passed_over
from ..selection.overview import results
from ..selection.verdicts import CONTRADICTED, NOT_RUN, SUPPORTED, UNDECIDED
from ..session.console import WIDTH, Steps, plain_console, say_skipped
from ..settings import FiguresConfig
from ..settings.commands import StyleConfig
from ..studies.figures import FIGURES, draw_figures

# columns of verdicts where there is no terminal
VERDICTS_WIDTH = 150
COLOURS = {SUPPORTED: "green", CONTRADICTED: "red", UNDECIDED: "yellow", NOT_RUN: "dim"}


def run(config: FiguresConfig) -> None:
    """Draws the figures of `config.paper` from `config.runs` into <outputs>/figures/<paper>."""
    records, skipped = find_runs(config.runs, unfinished=config.unfinished)
    say_skipped(skipped)
    folder = Path(config.outputs).expanduser() / "figures" / config.paper
    try:
        with styled(_style(config.style)):
            paths = redraw(config.paper, config.figure, records, config.runs, folder)
    except OSError as error:
        raise unwritable(folder, error, "; choose outputs=<folder>") from None
    for path in paths:
        print(path)


def redraw(
    paper: str, figure: str, records: Sequence[RunRecord], places: Sequence[str], folder: Path, *, judged: bool = False
) -> list[Path]:
    """Draws a figure of a paper, or `all`, from the runs found in `places`; the files in `folder`.

    Claims are judged with all figures, and with one where `judged`.
    """
    with Steps("figure") as say:
        paths = draw_figures(paper, figure, records, folder, say)
    if figure == "all" or judged:
        paths += claims_of(paper, records, places, folder)
    else:
        say_passed_over(passed_over(records, FIGURES[paper][figure].tables))
    table = results(records)
    print_results(table)
    return [*paths, *write_table(table, folder / "results", markdown=True)]


def _style(config: StyleConfig) -> Style:
    """The style with inches; raises `ConfigError` for a font that is not here."""
    if config.font is not None and not known_font(config.font):
        raise ConfigError("style.font", config.font, "no such font is installed here (serif, sans-serif always are)")
    return Style(
        width=config.width,
        height=config.height,
        font=config.font,
        size=config.size,
        formats=tuple(config.format),
        dpi=config.dpi,
        titles=config.titles,
    )


def claims_of(paper: str, records: Sequence[RunRecord], places: Sequence[str], folder: Path) -> list[Path]:
    """Judges the paper's claims on these runs, found in `places`; writes the verdicts into `folder` and shows them."""
    with Steps("table") as say:
        evidence = Evidence.of(records, find_unfinished(places, records), say)
    say_passed_over(evidence.passed)
    with Steps("claim") as say:
        verdicts = judge(paper, evidence, say)
    title = f"{paper}: verdicts on {len(CLAIMS[paper])} claims"
    show_verdicts(verdicts, title)
    return write_claims(verdicts, title, folder)


def say_passed_over(passed: pd.DataFrame) -> None:
    """A line for each measurement whose rows do not count, with the reason."""
    for line in in_words(passed):
        print(f"passed over: {line}", file=sys.stderr)


def print_results(table: pd.DataFrame) -> None:
    """The results table for a terminal: accuracies in per cent, margins in pixel units of [0, 1]."""
    if table.empty:
        print("no finished measurements in these runs yet")
        return
    console = plain_console(WIDTH)
    shown = Table(
        title="mean over seeds; margins: test images, mean, pixel units of [0, 1]",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    norms = [norm for norm in ("l2", "linf") if f"{norm}_last" in table]
    shown.add_column("experiment", overflow="fold")
    headings = [
        "seeds",
        "epochs",
        "accuracy",
        "robust",
        *(f"{norm} {when}" for norm in norms for when in ("peak", "last")),
    ]
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in table.to_dict("records"):
        margins = [f"{row[f'{norm}_{when}']:.3g}" for norm in norms for when in ("peak", "last")]
        accuracies = [f"{row[f'{kind}_accuracy']:.1%}" for kind in ("test", "robust")]
        shown.add_row(row["experiment"], str(row["num_seeds"]), f"{row['epochs']:g}", *accuracies, *margins)
    console.print(shown)


def write_claims(verdicts: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Writes claims.csv, claims.md and the picture of them into `folder`; the files written."""
    return [*page.write(verdicts, title, folder), *forest.draw(verdicts, title, folder)]


def show_verdicts(verdicts: pd.DataFrame, title: str) -> None:
    """The verdicts for a terminal: a line for each part, by whose claim it is."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = VERDICTS_WIDTH
    console.print(f"{title}: {page.counted(verdicts)}", markup=False)
    for line in filter(None, page.primaries(verdicts)):
        console.print(line.replace("**", ""), markup=False)
    for heading, rows in page.groups(verdicts):
        table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("claim", "data set", "part", "effect [95 % interval]", "claimed", "part", "verdict"):
            table.add_column(name, overflow="fold")
        for row in rows.to_dict("records"):
            effect = page.shown(row).replace("[", "\\[")
            label = f"{row['part']} (beside)" if row["secondary"] else row["part"]
            colours = (f"[{COLOURS[row[kind]]}]{row[kind]}" for kind in ("part_verdict", "verdict"))
            table.add_row(row["claim"], row["dataset"], label, effect, page.asked(row), *colours)
        console.print(table)
