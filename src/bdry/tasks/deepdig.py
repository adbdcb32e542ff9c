"""`bdry deepdig`: generated borderline instances of a run's checkpoints."""

from __future__ import annotations

from ..runs import Measurement
from ..studies.deepdig.settings import DeepDigConfig
from .measure import measure_run


def run(config: DeepDigConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured."""
    return measure_run(config, "deepdig", "deepdig", "karimi2020")
