"""Every figure by its paper and a stable name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UsageError, did_you_mean
from ..runs import RunRecord
from . import margin_evolution

# a figure draws what it can of the runs into a folder and gives the files it wrote
DrawFigure = Callable[[Sequence[RunRecord], Path], list[Path]]

FIGURES: dict[str, dict[str, DrawFigure]] = {
    "mickisch2020": {"margin_evolution": margin_evolution.draw},
}


def draw_figures(paper: str, figure: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
    """Draws one figure of a paper, or `all`, from the tables of `records`; the files written (PNG, PDF and CSV).

    Raises `UsageError` for a figure that the paper does not have.
    """
    available = FIGURES[paper]
    if figure != "all" and figure not in available:
        hint = did_you_mean(figure, available, "figure=")
        raise UsageError(f"figure={figure}: no such figure of {paper}{hint} (choices: all, {', '.join(available)})")
    folder.mkdir(parents=True, exist_ok=True)
    names = list(available) if figure == "all" else [figure]
    return [path for name in names for path in available[name](records, folder)]
