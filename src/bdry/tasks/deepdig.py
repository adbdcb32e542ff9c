"""`bdry deepdig`: generated borderline instances of a run's checkpoints."""

from __future__ import annotations

from ..schema import DeepDigTaskConfig
from .measure import measure_run


def run(config: DeepDigTaskConfig) -> None:
    """Measures what `config` names, or says that it is measured."""
    measure_run(config, "deepdig", "deepdig", "karimi2020")
