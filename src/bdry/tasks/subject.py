"""What `bdry margin` measures: a run's checkpoints, or one module, with its data and the folder for the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..errors import RunError
from ..runs import Measurement, Run
from ..runs.checkpoint import load_classifier
from ..schema import SCHEMA_VERSION, Margin, MarginTaskConfig, science
from .build import build_dataset, build_network, build_plan
from .module import build_module, weights_digest
from .stored import chosen_steps, stored_config


@dataclass(frozen=True)
class Subject:
    """`load(step)` gives the classifier as it was at one of the moments; `record` is what config.yaml will say."""

    folder: Measurement
    dataset: Dataset
    data_seed: int
    moments: list[Moment]
    load: Callable[[int], nn.Module]
    title: str
    record: dict[str, Any]


def run_subject(config: MarginTaskConfig, device: torch.device, checks: dict[str, Margin]) -> Subject:
    """The checkpoints that `config.checkpoint` chooses of the run in the folder `config.run`."""
    run = Run(Path(config.run or "").expanduser().resolve())
    _require_run(run)
    trained = stored_config(run)
    steps = chosen_steps(run, config.checkpoint)
    dataset = build_dataset(trained.dataset, device)
    classifier = build_network(trained, dataset)
    steps_per_epoch = build_plan(trained).steps_per_epoch(len(dataset.train))

    def load(step: int) -> nn.Module:
        path = run.moment_checkpoint(step)
        path = path if path.exists() else run.last_checkpoint
        if load_classifier(path, classifier, run.name) != step:
            raise RunError(f"{path}: the run has gone on from step {step} since; start again")
        return classifier

    settings = _settings(config, checks) | {"steps": steps}
    return Subject(
        folder=Measurement.of_run(run, settings),
        dataset=dataset,
        data_seed=trained.dataset.subset_seed,
        moments=[Moment(step, step / steps_per_epoch) for step in steps],
        load=load,
        title=f"{trained.dataset.name}, {trained.arch.name}, adv={trained.adv.name}: {config.margin.name} margins",
        record=_record(config) | {"run": str(run.path), "steps": steps},
    )


def module_subject(config: MarginTaskConfig, device: torch.device, checks: dict[str, Margin]) -> Subject:
    """The module that `config.classifier` builds, as a single moment, step 0."""
    assert config.dataset is not None
    assert config.classifier is not None
    dataset = build_dataset(config.dataset, device)
    module = build_module(config.classifier, config.weights, dataset)
    digest = weights_digest(module)
    settings = _settings(config, checks) | {"weights": digest}
    return Subject(
        folder=Measurement.of_module(config.outputs, config.classifier, settings),
        dataset=dataset,
        data_seed=config.dataset.subset_seed,
        moments=[Moment(0, 0.0)],
        load=lambda step: module,
        title=f"{dataset.name}, {config.classifier}: {config.margin.name} margins",
        record=_record(config) | {"weights_sha256": digest},
    )


def _settings(config: MarginTaskConfig, checks: dict[str, Margin]) -> dict[str, Any]:
    """What decides the results, beside the classifier."""
    check_settings = {name: asdict(node) for name, node in checks.items()}
    return {"schema": SCHEMA_VERSION, **science(config), "check_settings": check_settings}


def _record(config: MarginTaskConfig) -> dict[str, Any]:
    settings = {key: value for key, value in asdict(config).items() if key not in ("arch", "optim")}
    return {"schema": SCHEMA_VERSION, "command": "margin", **settings}


def _require_run(run: Run) -> None:
    if not run.path.is_dir():
        raise RunError(f"run={run.path}: no such folder")
    if not run.config_path.exists() and (seeds := sorted(path.parent.name for path in run.path.glob("*/config.yaml"))):
        raise RunError(f"run={run.path}: holds several runs; name one of {', '.join(seeds)} in it")
