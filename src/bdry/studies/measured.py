"""The noun Probe: `measure(classifier, dataset, moment) -> tables`, and arrays where numbers alone do not show it.

A command asks a study for a measurement in pieces, each of which is written whole or measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, get_type_hints

import numpy as np
import pandas as pd
from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..errors import UsageError
from ..margins import Estimator
from ..models import Classifier
from ..registry import Registry
from ..runs import Measurement
from ..runs.arrays import misfit


@dataclass(frozen=True)
class Measured:
    """What a probe found at one moment.

    tables: rows by table, with the schemas of `runs.tables`. arrays: by file, then by name, such as images and grids.
    """

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Arrays that are not declared are a bug, seen where they are made and not first where they are written."""
        for name, arrays in self.arrays.items():
            wrong = misfit(name, arrays)
            assert not wrong, f"{name}: {wrong}"


@dataclass(frozen=True)
class Context:
    """What a probe may need of the run beside its own settings.

    estimator: margin estimator with its settings bound, called as (model, x, start_class=None, norm=..., clipped=...).
    data_seed: the data set's seed, for choosing images: runs of different seeds measure the same ones.
    beside: further estimators by name, those that the setting `beside` lists.
    say: is told what is being measured, where a moment takes long.
    share: is told which share of the moment is done, 0 to 1, from which the time left is reckoned.
    """

    estimator: Estimator
    estimator_name: str
    data_seed: int
    beside: Mapping[str, Estimator] = field(default_factory=dict)
    say: Callable[[str], None] = lambda doing: None
    share: Callable[[float], None] = lambda done: None


class Spent:
    """Tells which share of a moment's work is done, in any unit of work.

    share: is told of it. total: all the work. done: what came before.
    """

    def __init__(self, share: Callable[[float], None], total: float, done: float = 0.0) -> None:
        self.share, self.total, self.done = share, total, done

    def __call__(self, work: float) -> None:
        """So much more is done."""
        self.done += work
        self.share(min(self.done / self.total, 1.0))


class Probe(Protocol):
    """Measures a classifier; leaves its parameters and modes as they were."""

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """What is found at this moment."""
        ...


# name -> class of probes, made of a context and settings of the study
PROBES: Registry[Callable[..., Probe]] = Registry("probe")


def build_probe(name: str, context: Context, settings: object, **further: Any) -> Probe:
    """The probe `name` with the study's settings, or a config that has them; `further` is what a command adds.

    Raises `UsageError` for settings of another study, as a YAML file may have them that takes the wrong schema.
    """
    builder = PROBES[name]
    wanted = get_type_hints(builder)["settings"]
    if not isinstance(settings, wanted):
        raise UsageError(f"probe={name}: takes {wanted.__name__}, not {type(settings).__name__}; see its defaults list")
    return builder(context, settings, **further)


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
