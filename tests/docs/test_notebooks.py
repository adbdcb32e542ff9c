"""docs/notebooks: every page is its source with its outputs, and executing the source again gives the page."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
MOST_BYTES = 60_000
# of a result that is trained anew: another machine may round otherwise
RELATIVE, ABSOLUTE = 0.2, 0.05


def cells(source: Path) -> list[str]:
    """Each cell's text, without jupytext's header and marks."""
    _, *found = re.split(r"^# %%.*\n", source.read_text(encoding="utf-8"), flags=re.M)
    return [re.sub(r"^# ?", "", cell, flags=re.M) if cell.startswith("#") else cell for cell in found]


def numbers_apart(text: str) -> tuple[str, list[float]]:
    """A page without its numbers, and these."""
    number = r"\d+(?:\.\d+)?"
    return re.sub(rf"{number}| {{2,}}|-{{2,}}", "#", text), [float(found) for found in re.findall(number, text)]


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_is_of_this_source(source):
    page = source.with_suffix(".md").read_text(encoding="utf-8")
    at = 0
    for cell in cells(source):
        lines = [line for line in cell.strip().splitlines() if line]
        for line in lines:
            assert line in page[at:], f"{source.name}: make notebooks writes the page again ({line})"
            at = page.index(line, at) + len(line)


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_pictures_are_there_and_small(source):
    named = set(re.findall(r"\]\(([\w-]+\.png)\)", source.with_suffix(".md").read_text(encoding="utf-8")))
    assert named
    assert named == {path.name for path in source.parent.glob(f"{source.stem}-*.png")}
    for name in named:
        path = source.parent / name
        assert path.stat().st_size < MOST_BYTES, name
        with Image.open(path) as picture:
            assert picture.mode == "P", name


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_executed_again_they_say_the_same(tmp_path):
    for name in ("jupytext", "nbclient", "nbconvert", "ipykernel"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[docs]', or make notebooks")
    command = [sys.executable, str(ROOT / "scripts" / "render_notebooks.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for source in NOTEBOOKS:
        kept, again = (
            numbers_apart((folder / f"{source.stem}.md").read_text(encoding="utf-8"))
            for folder in (source.parent, tmp_path)
        )
        assert again[0] == kept[0]
        assert again[1] == pytest.approx(kept[1], rel=RELATIVE, abs=ABSOLUTE)
