"""The figures and tables that `bdry figures` would draw, to be put into the page."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

from ..figures.style import CAPTION, Style, styled, watched
from ..figures.traces import charts
from ..runs import RunRecord
from ..studies.figures import draw_figures
from .embedding import png_uri

# no links, no images, no HTML: a caption quotes names that a run's folder brought
_PARSER = MarkdownIt("zero").enable(["emphasis", "backticks", "list", "table"])


@dataclass(frozen=True)
class Panel:
    """A figure with its caption, or a table with its own.

    image: data URI, empty for a table. width, height: in pixels. text: the caption, or the whole table. charts: its
    curves, as `figures.traces.charts` gives them.
    """

    name: str
    text: Markup
    image: str = ""
    width: int = 0
    height: int = 0
    charts: list[dict[str, Any]] = field(default_factory=list)


def panels(
    paper: str, records: Sequence[RunRecord], say: Callable[[int, int, str], None] = lambda done, total, name: None
) -> list[Panel]:
    """Every figure and table of a paper that these runs have data for, in the order of `bdry figures`.

    say: is told of each before it is drawn, as by `draw_figures`.
    """
    curves: dict[str, list[dict[str, Any]]] = {}

    def keep(name: str, figure: Figure) -> None:
        curves[name] = charts(figure)

    with tempfile.TemporaryDirectory() as place, styled(Style(formats=("png",))), watched(keep):
        folder = Path(place)
        stems = [_stem(path) for path in draw_figures(paper, "all", records, folder, say)]
        found = [_panel(folder, stem, curves.get(stem, [])) for stem in dict.fromkeys(stems)]
    return [panel for panel in found if panel is not None]


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".caption")


def _panel(folder: Path, stem: str, curves: list[dict[str, Any]]) -> Panel | None:
    """What was drawn under a name; None for numbers alone."""
    image, caption, table = (folder / f"{stem}{ending}" for ending in (".png", CAPTION, ".md"))
    if image.exists():
        content = image.read_bytes()
        # a PNG's first chunk, its header, begins with width and height
        width, height = struct.unpack(">II", content[16:24])
        text = as_html(caption.read_text(encoding="utf-8")) if caption.exists() else Markup()
        return Panel(stem, text, png_uri(content), width, height, curves)
    if table.exists():
        return Panel(stem, as_html(table.read_text(encoding="utf-8")))
    return None


def as_html(markdown: str) -> Markup:
    """`markdown` as HTML, without inline styles; `<` and the like come out as text. Tables scroll in a box."""
    tokens = _PARSER.parse(markdown)
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))


def _box(*_: Any) -> str:
    return '<div class="box" role="region" tabindex="0" aria-label="table"><table>\n'


def _end_of_box(*_: Any) -> str:
    return "</table></div>\n"


_PARSER.add_render_rule("table_open", _box)
_PARSER.add_render_rule("table_close", _end_of_box)
