"""How docstrings read on the documentation site: griffe calls this for every object that it has read.

Lines of a docstring that say `name: meaning` outside `Args:` become a list, a page of docs/papers a link.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

FIELD = re.compile(r"((?:[a-z_]\w*)(?:, [a-z_]\w*)*|[A-Z](?:, [a-z]\w*)*): \S")
REMARK = re.compile(r"(Source|Differs): ")
PAPER = re.compile(r"docs/papers/(\w+)\.md")


class Readable(griffe.Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe's hook."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """A docstring as Markdown."""
    lines: list[str] = []
    within = ""
    for line in PAPER.sub(r"[docs/papers/\1.md](../papers/\1.md)", text).splitlines():
        if field := FIELD.match(line):
            if within != "field" and lines and lines[-1]:
                lines.append("")
            lines.append(f"- `{field[1]}`{line[field.end(1) :]}")
        else:
            # a remark's continuation, indented, would make a block of its own of what it continues
            lines.append(line.lstrip() if within == "remark" else line)
        if not line.startswith(" "):
            within = "field" if field else "remark" if REMARK.match(line) else ""
    return "\n".join(lines)
