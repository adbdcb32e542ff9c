"""What `bdry margin` measures: a run's checkpoints, or one module, with its data and the folder for the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..runs import SCHEMA_VERSION, Measurement
from ..settings import Margin, science
from ..studies.margins.settings import MarginConfig
from .build import build_dataset
from .module import build_module, weights_digest
from .stored import open_run


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


def run_subject(config: MarginConfig, device: torch.device, checks: dict[str, Margin]) -> Subject:
    """The checkpoints that `config.checkpoint` chooses of the run in the folder `config.run`."""
    stored = open_run(config.run or "", config.checkpoint, device)
    trained, steps = stored.config, stored.steps
    return Subject(
        folder=Measurement.of_run(stored.run, "margin", _settings(config, checks) | {"steps": steps}),
        dataset=stored.dataset,
        data_seed=trained.dataset.subset_seed,
        moments=stored.moments,
        load=stored.load,
        title=f"{trained.dataset.name}, {trained.arch.name}, adv={trained.adv.name}: {config.margin.name} margins",
        record=_record(config) | {"run": str(stored.run.path), "steps": steps},
    )


def module_subject(config: MarginConfig, device: torch.device, checks: dict[str, Margin]) -> Subject:
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


def _settings(config: MarginConfig, checks: dict[str, Margin]) -> dict[str, Any]:
    """What decides the results, beside the classifier."""
    check_settings = {name: asdict(node) for name, node in checks.items()}
    return {"schema": SCHEMA_VERSION, **science(config), "check_settings": check_settings}


def _record(config: MarginConfig) -> dict[str, Any]:
    settings = {key: value for key, value in asdict(config).items() if key not in ("arch", "optim")}
    return {"schema": SCHEMA_VERSION, "command": "margin", **settings}
