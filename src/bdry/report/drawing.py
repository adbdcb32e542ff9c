"""What a paper's figures are registered as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runs import RunRecord


@dataclass(frozen=True)
class Drawing:
    """A figure or table.

    draw: makes what it can of the runs in a folder and gives the files, none where the runs have no data for it.
    needs: which runs would have.
    """

    draw: Callable[[Sequence[RunRecord], Path], list[Path]]
    needs: str
