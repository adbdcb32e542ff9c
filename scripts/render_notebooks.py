"""Executes docs/notebooks/*.py and writes each as a page with its outputs: `python scripts/render_notebooks.py [to]`.

A page is Markdown for GitHub and the site alike; pictures are PNGs with a palette beside it.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat.v4 import new_code_cell
from PIL import Image
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
STYLE = "%matplotlib inline\nimport matplotlib\nmatplotlib.rcParams.update({'figure.dpi': 90, 'font.size': 9})"
# no port, not even of this machine's
KERNEL = Config({"KernelManager": {"transport": "ipc"}})
# of a table its text: GitHub drops the style of the HTML
KINDS = ["image/png", "text/markdown", "text/plain"]


def render(source: Path, folder: Path) -> None:
    """Executes a notebook and writes `<name>.md` and `<name>-<n>.png` into the folder; an error in a cell is raised."""
    notebook = jupytext.read(source)
    notebook.cells.insert(0, new_code_cell(STYLE))
    NotebookClient(notebook, timeout=1200, kernel_name="python3", config=KERNEL).execute()
    del notebook.cells[0]
    exporter = MarkdownExporter(config=Config({"NbConvertBase": {"display_data_priority": KINDS}}))
    page, resources = exporter.from_notebook_node(notebook)
    pictures = [name for name in resources["outputs"] if name.endswith(".png")]
    for number, name in enumerate(pictures, 1):
        short = f"{source.stem}-{number}.png"
        page = re.sub(rf"!\[png\]\({re.escape(name)}\)", f"![picture {number}]({short})", page)
        with Image.open(io.BytesIO(resources["outputs"][name])) as picture:
            small = picture.convert("RGB").quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            small.save(folder / short, "PNG", optimize=True)
    lines = [line.rstrip() for line in page.strip().splitlines()]
    note = f"*Executed from [{source.name}]({source.name}), which jupytext opens as a notebook.*"
    text = re.sub(r"\n{3,}", "\n\n", "\n".join([lines[0], "", note, *lines[1:]]))
    (folder / f"{source.stem}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    to = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOKS
    for path in sorted(NOTEBOOKS.glob("*.py")):
        print(path.name, flush=True)
        render(path, to)
