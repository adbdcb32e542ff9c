"""`bdry shared`: directions along which the boundary of a run's checkpoints is curved at many images."""

from __future__ import annotations

from ..runs import Measurement
from ..studies.shared.settings import SharedConfig
from .measure import measure_run


def run(config: SharedConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured."""
    return measure_run(config, "shared", "shared", "fawzi2017")
