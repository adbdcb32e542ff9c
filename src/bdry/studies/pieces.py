"""A measurement's work in pieces, each of which is written whole or measured again: what a command asks of a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..runs import Measurement
from .measured import Measured, Probe

# what a piece is called that is a whole moment
WHOLE = "all"


@dataclass(frozen=True)
class Piece:
    """What was found in one piece of work: in `size` images of `part` (a split, ...), or in a whole moment (size 1)."""

    part: str
    size: int
    found: Measured


class Study(Protocol):
    """What a command measures at each moment, in pieces."""

    @property
    def unit(self) -> str:
        """What the sizes of pieces count."""
        ...

    def size(self, moment: Moment) -> int:
        """The sizes of all pieces of this moment together."""
        ...

    def pieces(self, classifier: nn.Module, moment: Moment, done: Mapping[str, int]) -> Iterator[Piece]:
        """The pieces that are missing, in order. done: by part, the size of those that are there."""
        ...

    def finish(self, folder: Measurement) -> None:
        """Sums up and draws, from the folder's tables."""
        ...


@dataclass(frozen=True)
class WholeMoments:
    """A probe, whose pieces are whole moments. draw: the measurement's figures."""

    probe: Probe
    dataset: Dataset
    draw: Callable[[Measurement], object]
    unit: str = "checkpoint"

    def size(self, moment: Moment) -> int:
        """One."""
        return 1

    def pieces(self, classifier: Any, moment: Moment, done: Mapping[str, int]) -> Iterator[Piece]:
        """The moment."""
        yield Piece(WHOLE, 1, self.probe.measure(classifier, self.dataset, moment))

    def finish(self, folder: Measurement) -> None:
        """Draws."""
        self.draw(folder)
