"""What lies in docs/results is whole, small, and redrawn from its own data byte for byte."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from bdry.commands import figures
from bdry.figures import Style, styled
from bdry.figures.captions import apart
from bdry.figures.style import CAPTION
from bdry.runs import find_runs
from bdry.runs.published import CAPTIONS, CHECKSUMS, checksums, megabytes, sha256

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PUBLISHED = sorted(path.parent for path in RESULTS.glob(f"*/{CHECKSUMS}"))
# of each, and of all: with a piece of what a GPU's machine needs, of 40 MiB, and the rest of the repository it stays
# below 64 MiB
MOST_MB, MOST_MIB_IN_ALL = 4, 16
# what a small file takes on disk, and a folder
BLOCK = 4096


@pytest.mark.parametrize("place", PUBLISHED, ids=lambda place: place.name)
def test_its_files_are_those_of_its_checksums(place):
    listed = {name: digest for digest, name in checksums(place)}
    files = [path for path in place.rglob("*") if path.is_file() and path.name != CHECKSUMS]
    assert listed == {path.relative_to(place).as_posix(): sha256(path) for path in files}
    assert megabytes(files) < MOST_MB


def test_all_of_it_is_small():
    sizes = [path.stat().st_size if path.is_file() else BLOCK for path in [RESULTS, *RESULTS.rglob("*")]]
    assert sum(-(-size // BLOCK) for size in sizes) * BLOCK <= MOST_MIB_IN_ALL * 2**20


# pictures take most of the time: make test draws those of one paper, and of the others all that stands beside them
DRAWN = "fawzi2017"
WITH_PICTURES = [
    pytest.param(place, ("png",), marks=[] if place.name == DRAWN else [pytest.mark.long], id=place.name)
    for place in PUBLISHED
]
WITHOUT = [pytest.param(place, (), id=f"{place.name} without pictures") for place in PUBLISHED if place.name != DRAWN]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("place", "formats"), [*WITH_PICTURES, *WITHOUT])
def test_it_is_redrawn_byte_for_byte(place, formats, tmp_path):
    made_by = json.loads((place / "provenance.json").read_text())
    with styled(Style(formats=formats)):
        # whole studies were published before one figure could be chosen
        chosen = made_by.get("figure", "all")
        figures.redraw(made_by["paper"], chosen, find_runs([str(place)])[0], [str(place)], tmp_path, judged=True)
    # another version of a library may draw or round otherwise
    is_same = all(version(name) == made_by["packages"][name] for name in ("matplotlib", "numpy", "pandas", "pillow"))
    drawn = {path.name: path for path in tmp_path.iterdir()}
    # on one page in the order in which they were drawn
    captions = {name.removesuffix(CAPTION): path.read_text() for name, path in drawn.items() if name.endswith(CAPTION)}
    published = apart((place / CAPTIONS).read_text())
    assert captions.keys() == published.keys()
    assert not is_same or captions == published
    for path in place.iterdir():
        if path.name != CAPTIONS and path.suffix in (".csv", ".md", *(f".{ending}" for ending in formats)):
            assert path.name in drawn
            assert not is_same or drawn[path.name].read_bytes() == path.read_bytes(), path.name
