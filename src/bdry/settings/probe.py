"""`probe=[...]`: what is measured on the classifier while it trains. Each probe's own settings are in its study."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .options import option, schema


@dataclass
class Moments:
    """When to measure. Initialisation is step 0; the end of training is always a moment."""

    steps: list[int] = option([0, 10, 30, 100, 300], "optimiser steps", ge=0, may_be_empty=True)
    epochs: list[int] = option(
        [1, 2, 3, 5, 8, 12, 20, 30, 50, 75, 100, 150, 200], "ends of epochs", ge=1, may_be_empty=True
    )


@schema("probe", "base")
@dataclass
class Probe:
    """What `probe=` adds to the settings of a study: which probe, and when it measures."""

    name: str = option(MISSING, "the probe")
    moments: Moments | None = option(None, "when this probe measures; null: at the run's moments")
