"""The folders of runs and measurements: where everything in them is.

outputs/runs/<dataset>-<arch>-<adv>-<hash8>/seed=<n>/
    config.yaml        the resolved config, the run's identity
    status.json        running, finished, failed or interrupted; how far; by whom
    provenance.json    one entry a start: command, code, versions, device, checksums
    tables/*.csv       see docs/tables.md
    checkpoints/       last.safetensors to resume from, step=<n>.safetensors of each moment
    figures/           the run's own figures
    measurements/      what `bdry margin` measured afterwards, a folder each: see `Measurement`
    lock               held by the process that owns the folder
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import RunError
from .owned import CONFIG, PROVENANCE, STATUS, OwnedFolder, hash8
from .packed import MEASUREMENTS, PACKED

# of a run's config.yaml and tables; a change of meaning makes a new version
SCHEMA_VERSION = 2
# what others need of a folder; locks, states to resume from and half-written files are not among it
KEPT = (CONFIG, STATUS, PROVENANCE, PACKED, "tables/*.csv", "figures/*", "arrays/*.npz")


def check_version(version: object, run: Run) -> None:
    """Raises `RunError` where the run's config says another version of the schema, or none."""
    if version is None:
        raise RunError(f"{run.config_path}: not the config of a run")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{run.config_path}: written by another version of bdry (schema {version}, this is {SCHEMA_VERSION})"
        )


def run_name(science: dict[str, Any]) -> str:
    """`<dataset>-<arch>-<adv>-<hash8>`, the hash over the canonical JSON of the config's science part."""
    names = (science["dataset"]["name"], arch_name(science["arch"]), science["adv"]["name"])
    safe = [re.sub(r"[^A-Za-z0-9_.]", "_", name) for name in names]
    return "-".join([*safe, hash8(science)])


def arch_name(arch: dict[str, Any]) -> str:
    """What figures and folders call the architecture: for a network of the user's own the function that builds it."""
    name: str = arch.get("build") or arch["name"]
    return name


class Run(OwnedFolder):
    """One run's folder; nothing is created before `claimed`."""

    noun = "run"
    subfolders = ("tables", "checkpoints", "figures")

    @classmethod
    def of(cls, outputs: str, science: dict[str, Any], seed: int) -> Run:
        """The folder that belongs to a config and a seed."""
        return cls(Path(outputs).expanduser() / "runs" / run_name(science) / f"seed={seed}")

    @property
    def name(self) -> str:
        """`<dataset>-<arch>-<adv>-<hash8>/seed=<n>`, what checkpoints and messages call it."""
        return f"{self.experiment}/{self.path.resolve().name}"

    @cached_property
    def experiment(self) -> str:
        """`<dataset>-<arch>-<adv>-<hash8>`, the same for every seed."""
        return self.path.resolve().parent.name

    @property
    def last_checkpoint(self) -> Path:
        """The state to resume from."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files, where asked for."""
        return self.path / "tensorboard"

    def moment_checkpoint(self, step: int) -> Path:
        """The classifier as it was after `step` optimiser steps."""
        return self.path / "checkpoints" / f"step={step:08d}.safetensors"

    def to_keep(self, checkpoints: bool) -> list[Path]:
        """The files of the run and of its measurements that others need, in order; its networks where asked for."""
        patterns = [*KEPT, *(f"{MEASUREMENTS}/*/{pattern}" for pattern in KEPT)]
        patterns += ["checkpoints/step=*.safetensors"] if checkpoints else []
        return sorted({path for pattern in patterns for path in self.path.glob(pattern)})

    @property
    def without_networks(self) -> bool:
        """Whether the run is finished and its networks are not here, as of one taken from a publication."""
        return self.finished and not (self.moments() or self.last_checkpoint.exists())

    def moments(self) -> list[int]:
        """The steps whose classifier was kept, in order."""
        found = self.moment_checkpoint(0).parent.glob("step=*.safetensors")
        numbers = [path.stem.partition("=")[2] for path in found]
        return sorted(int(number) for number in numbers if number.isdecimal())


class Measurement(OwnedFolder):
    """What a command measured on a run's checkpoints, or on a module that the user named.

    Its name is a function of the settings that decide its results.

    <run's folder>/measurements/<command>-<hash8>/  or  <outputs>/measurements/<module>-<function>-<hash8>/
        config.yaml        what was measured and how
        status.json        running, finished, failed or interrupted; by whom
        provenance.json    one entry a start
        tables/*.csv       see docs/tables.md
        arrays/*.npz       images, grids and the like, where there are any
        figures/           its own figures
        lock               held by the process that owns the folder
    """

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
