"""The noun Probe: `measure(classifier, dataset, moment) -> tables`, and arrays where numbers alone do not show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from ..core.moment import Moment
from ..data import Dataset
from ..margins import Estimator
from ..models import Classifier
from ..registry import Registry


@dataclass(frozen=True)
class Measured:
    """What a probe found at one moment.

    tables: rows by table, with the schemas of `runs.tables`. arrays: by file, then by name, such as images and grids.
    """

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a probe may need of the run beside its own settings.

    estimator: margin estimator with its settings bound, called as (model, x, start_class=None, norm=..., clipped=...).
    data_seed: the data set's seed, for choosing images: runs of different seeds measure the same ones.
    """

    estimator: Estimator
    estimator_name: str
    data_seed: int


class Probe(Protocol):
    """Measures a classifier; leaves its parameters and modes as they were."""

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """What is found at this moment."""
        ...


# name -> function of the context and the probe's settings that gives the probe
PROBES: Registry[Callable[..., Probe]] = Registry("probe")
