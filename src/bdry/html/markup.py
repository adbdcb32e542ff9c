"""Captions and tables in Markdown as HTML: bold, code, lists and tables; anything else is text."""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

# no links, no images, no HTML: a caption quotes names that a run's folder brought
_PARSER = MarkdownIt("zero").enable(["emphasis", "backticks", "list", "table"])


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
