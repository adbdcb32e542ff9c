"""The noun Probe: `measure(classifier, dataset, moment) -> tables`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from ..core.moment import Moment
from ..data import Dataset
from ..margins import Estimator
from ..models import Classifier
from ..registry import Registry

Tables = dict[str, pd.DataFrame]


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
    """Measures a classifier; leaves its parameters and modes as they were. Tables have the schemas of `runs.tables`."""

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Tables:
        """The rows of this moment, by table."""
        ...


# name -> function of the context and the probe's settings that gives the probe
PROBES: Registry[Callable[..., Probe]] = Registry("probe")
