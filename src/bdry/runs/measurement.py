"""A measurement's folder: what a command measured on a run's checkpoints, or on a module that the user named.

<run's folder>/measurements/<command>-<hash8>/  or  <outputs>/measurements/<module>-<function>-<hash8>/
    config.yaml        what was measured and how
    status.json        running, finished, failed or interrupted; by whom
    provenance.json    one entry a start
    tables/*.csv       see docs/tables.md
    arrays/*.npz       images, grids and the like, where there are any
    figures/           its own figures
    lock               held by the process that owns the folder
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .folder import MEASUREMENTS, Run
from .owned import OwnedFolder, hash8


class Measurement(OwnedFolder):
    """One measurement's folder; its name is a function of the settings that decide its results."""

    noun = "measurement"
    # a run's measurement is in the run's folder
    way_out = ""

    @classmethod
    def of_run(cls, run: Run, command: str, settings: dict[str, Any]) -> Measurement:
        """The folder of what a command measures on a run's checkpoints, inside the run's."""
        return cls(run.path / MEASUREMENTS / f"{command}-{hash8(settings)}")

    @classmethod
    def of_module(cls, outputs: str, classifier: str, settings: dict[str, Any]) -> Measurement:
        """The folder of a measurement of the module that `<module>:<function>` builds."""
        safe = [re.sub(r"[^A-Za-z0-9_.]", "_", name) for name in classifier.split(":")]
        return cls(Path(outputs).expanduser() / MEASUREMENTS / "-".join([*safe, hash8(settings)]))
