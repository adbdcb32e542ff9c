"""The noun Probe: `measure(classifier, dataset, moment) -> tables`, and arrays where numbers alone do not show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, get_type_hints

import numpy as np
import pandas as pd

from ..core.moment import Moment
from ..data import Dataset
from ..errors import UsageError
from ..margins import Estimator
from ..models import Classifier
from ..registry import Registry
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
    """

    estimator: Estimator
    estimator_name: str
    data_seed: int
    beside: Mapping[str, Estimator] = field(default_factory=dict)


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
