"""All probes: one measurement of a classifier at one moment, the same object in training and on finished runs."""

from . import import_all
from .measured import PROBES, Context, Measured, Probe, build_probe

import_all("probe")

__all__ = ["PROBES", "Context", "Measured", "Probe", "build_probe"]
