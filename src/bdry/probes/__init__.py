"""Probes: one measurement of a classifier at one moment, the same object in training and on finished runs."""

from ..registry import import_siblings
from .probe import PROBES, Context, Measured, Probe

import_siblings(__name__, __path__)

__all__ = ["PROBES", "Context", "Measured", "Probe"]
