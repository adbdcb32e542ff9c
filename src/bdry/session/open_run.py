"""What a run's folder brings back: its typed config, its data, and the checkpoints that a user means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from glob import has_magic
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..conf import option_defaults, typed
from ..core.moment import Moment
from ..data import Dataset
from ..errors import ConfigError, DataError, MeasuringError, RunError, UsageError, one_line
from ..models import Classifier
from ..runs import Measurement, Run, RunRecord, arch_name, check_version, find_runs
from ..runs.checkpoint import checkpoint_step, load_classifier
from ..runs.owned import CONFIGS
from ..runs.packed import PACKED
from ..runs.reading import PARSING
from ..settings import SCHEMAS, OwnArch, Torchvision, TrainConfig
from ..settings import Dataset as DatasetConfig
from .build import build_dataset, build_network, build_plan, planned_moments
from .own_arch import check_remembered, own_code

GROUPS = ("dataset", "arch", "adv", "optim", "margin")


@dataclass(frozen=True)
class StoredRun:
    """A run on disk: its config, its data set on the device, the moments chosen of it, and one network to load into."""

    run: Run
    config: TrainConfig
    dataset: Dataset
    moments: list[Moment]
    network: Classifier

    @property
    def data_seed(self) -> int:
        """The seed that images were chosen by in training."""
        return self.config.dataset.subset_seed or 0

    @property
    def title(self) -> str:
        """Data set, architecture and adversary."""
        return f"{self.config.dataset.name}, {arch_name(asdict(self.config.arch))}, adv={self.config.adv.name}"

    @property
    def own_code(self) -> tuple[str, str] | None:
        """The setting that names the user's own network, and the name; None where it is one of bdry's."""
        return own_code(self.config.arch)

    @property
    def identity(self) -> dict[str, Any]:
        """The optimiser steps of the moments; the rest is said by the folder that the measurement is in."""
        return {"checkpoint_steps": [moment.step for moment in self.moments]}

    @property
    def origin(self) -> dict[str, Any]:
        """The run's folder."""
        return {"run": str(self.run.path)}

    def folder(self, command: str, settings: dict[str, Any]) -> Measurement:
        """Inside the run's folder."""
        return Measurement.of_run(self.run, command, settings)

    def record(self, folder: Measurement) -> RunRecord:
        """This run, measured by `folder` alone."""
        (record,), _ = find_runs([str(self.run.path)], unfinished=True)
        return record.only(folder)

    def load(self, step: int) -> Classifier:
        """The network as it was at the moment of `step`: always the same object, with other weights."""
        path = self.run.moment_checkpoint(step)
        path = path if path.exists() else self.run.last_checkpoint
        if self.run.without_networks:
            # of a whole study one measurement that fails, and no mistake of the command line
            anew = "delete the folder and train without published="
            if (self.run.path / PACKED).exists():
                anew = "the command that bdry rerun prints trains it elsewhere"
            raise MeasuringError(
                f"{self.run.path}: has no checkpoint; a run taken from a publication or exported without "
                f"--checkpoints brings none, and it was not measured so before; {anew}"
            )
        if load_classifier(path, self.network, self.run.name) != step:
            raise RunError(f"{path}: the run has gone on from step {step} since; start again")
        return self.network


def open_run(folder: str, checkpoint: str, device: torch.device) -> StoredRun:
    """The run in `folder` with the checkpoints that `checkpoint` chooses (see `chosen_steps`).

    Raises `RunError` where that is no run's folder, or one of another version.
    """
    run = Run(Path(folder).expanduser().resolve())
    if not run.path.is_dir():
        hint = "; to measure several runs give -m" if "," in folder else ""
        hint = "; run= takes no patterns, several runs are named with -m and commas" if has_magic(folder) else hint
        raise RunError(f"run={run.path}: no such folder{hint}")
    seeds = sorted({path.parent.name for name in CONFIGS for path in run.path.glob(f"*/{name}")})
    if seeds and not any((run.path / name).exists() for name in CONFIGS):
        raise RunError(
            f"run={run.path}: no run itself but a folder of {', '.join(seeds)}; add one of these to the path"
        )
    config = stored_config(run)
    if isinstance(config.arch, OwnArch):
        check_remembered(config.arch, str(run.path))
    dataset = _local_dataset(config.dataset, device)
    places = " and ".join(config.dataset.files())
    trained_on = [start["data"] for start in run.starts() if "data" in start]
    if places and trained_on and dataset.checksums() not in trained_on:
        raise RunError(f"{places}: not the images that run={run.path} was trained on; put these back, or train anew")
    steps_per_epoch = build_plan(config).steps_per_epoch(len(dataset.train))
    kept = planned_moments(config, steps_per_epoch).values() if run.without_networks else ()
    steps = chosen_steps(run, checkpoint, set().union(*kept))
    moments = [Moment(step, step / steps_per_epoch) for step in steps]
    return StoredRun(run, config, dataset, moments, build_network(config, dataset))


def load_network(run: str | Path, *, step: int | None = None, device: str = "cpu") -> tuple[Classifier, Dataset]:
    """A run's network in evaluation mode, and its data set, both on the device.

    Args:
        run: the run's folder, `outputs/runs/<experiment>/seed=<n>`.
        step: of the optimiser, one that has a checkpoint; None: the last.
        device: where to, as torch calls it.

    Raises:
        RunError: there is no run in the folder, or none that this version can read.
        ConfigError: the run has no checkpoint of this step.
    """
    stored = open_run(str(run), "last" if step is None else str(step), torch.device(device))
    return stored.load(stored.moments[0].step).eval(), stored.dataset


def stored_config(run: Run) -> TrainConfig:
    """The config that the run was trained with; keys that have come since take their defaults.

    Raises `RunError` for a file that is not the config of a run, or of another version of bdry.
    """
    found = run.read_config()
    version = found.pop("schema", None)
    check_version(version, run)
    if not set(GROUPS) <= set(found):
        raise RunError(f"{run.config_path}: not the config of a run")
    try:
        for group in GROUPS:
            found[group] = _node(group, found[group])
        found["probe"] = {name: _node("probe", node) for name, node in found.get("probe", {}).items()}
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), found)
        config: TrainConfig = typed(cast(DictConfig, merged))
    except (OmegaConfBaseException, UsageError, *PARSING) as error:
        raise RunError(f"{run.config_path}: not readable by this version ({one_line(error)})") from None
    return config


def _local_dataset(config: DatasetConfig, device: torch.device) -> Dataset:
    """The run's data set, from where the run had it or from this machine's own place.

    Only there are missing files put: the other place may be a stranger's choice.
    """
    if isinstance(config, Torchvision):
        try:
            return build_dataset(replace(config, download=False), device)
        except DataError:
            root = option_defaults("train", "dataset", config.name).root
            config = replace(config, root=root)
    return build_dataset(config, device)


def _node(group: str, values: dict[str, Any]) -> Any:
    """The structured config of an option: of the group's schemas the one with all these keys and the fewest others."""
    schemas: list[Any] = [schema for owner, _, schema in SCHEMAS if owner == group]
    fits = [schema for schema in schemas if set(values) <= {declared.name for declared in fields(schema)}]
    if not fits:
        raise UsageError(f"{group}={values.get('name')} has other settings now")
    return OmegaConf.merge(OmegaConf.structured(min(fits, key=lambda schema: len(fields(schema)))), values)


def chosen_steps(run: Run, checkpoint: str, planned: Iterable[int] = ()) -> list[int]:
    """The steps that `last`, `all` or a number means, in order; `ConfigError` for a step that there is not.

    planned: those that the run's networks had, of a run without networks.
    """
    kept = run.moments() or sorted(planned)
    last = checkpoint_step(run.last_checkpoint, run.name) if run.last_checkpoint.exists() else None
    there = sorted({*kept, *([] if last is None else [last])})
    if not there:
        raise RunError(f"{run.path}: has no checkpoint yet")
    if checkpoint == "last":
        return there[-1:]
    if checkpoint == "all":
        return kept or there
    if int(checkpoint) not in there:
        raise ConfigError("checkpoint", checkpoint, f"no such step in this run (steps: {', '.join(map(str, there))})")
    return [int(checkpoint)]
