"""Every figure by its paper and a stable name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError, UsageError, did_you_mean, one_line
from ..runs import RunRecord
from ..runs.files import refuse_links
from . import fawzi2017, karimi2020, li2018, mickisch2020
from .drawing import Drawing

FIGURES: dict[str, dict[str, Drawing]] = {
    "fawzi2017": fawzi2017.FIGURES,
    "karimi2020": karimi2020.FIGURES,
    "li2018": li2018.FIGURES,
    "mickisch2020": mickisch2020.FIGURES,
}


def draw_figures(paper: str, figure: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws one figure of a paper, or `all`, from the tables of `records`; the files written.

    A figure is PNG, PDF, CSV and caption, a table CSV and Markdown. `all` leaves out what these runs have no data for.
    Raises `UsageError` for a figure that the paper does not have, or one named alone that the runs have no data for.
    """
    available = FIGURES[paper]
    if figure != "all" and figure not in available:
        hint = did_you_mean(figure, available, "figure=")
        raise UsageError(f"figure={figure}: no such figure of {paper}{hint} (choices: all, {', '.join(available)})")
    refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if figure == "all":
        return [path for name in available for path in _draw(available[name], name, records, folder)]
    paths = _draw(available[figure], figure, records, folder)
    if not paths:
        raise UsageError(
            f"figure={figure}: nothing to draw in these {len(records)} runs; needs {available[figure].needs}"
        )
    return paths


def _draw(drawing: Drawing, name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
    try:
        return drawing.draw(records, folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # tables may fit their schemas and yet be no measurements: somebody else's, or edited by hand
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise RunError(f"figure={name}: cannot be drawn from the tables of these runs ({reason})") from error
