"""What `make test-lowest` installs is the lowest that the package asks for."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PINS = Path(__file__).parents[2] / "constraints-lowest.txt"


def test_the_pins_are_the_lower_bounds():
    pins = dict(line.split("==") for line in PINS.read_text().splitlines() if not line.startswith("#"))
    asked = [Requirement(line) for line in requires("bdry") or []]
    # what tests, benchmarks and the site install; the peers of a benchmark are one version each
    apart = ("dev", "bench", "docs")
    extras = [f'extra == "{name}"' for name in apart]
    wanted = [one for one in asked if not (one.marker and any(extra in str(one.marker) for extra in extras))]
    assert len(wanted) > 15
    for one in wanted:
        (lowest,) = [bound.version for bound in one.specifier if bound.operator == ">="]
        assert Version(pins[one.name]) == Version(lowest), one
