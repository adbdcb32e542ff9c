"""From config nodes to the things they name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from ..conf import option_defaults
from ..core.moment import moment_steps
from ..data import DATASETS, Dataset
from ..errors import ConfigError, UsageError, one_line, show_value
from ..margins import ESTIMATORS, Estimator, MarginResult
from ..models import Classifier, Normalise, build_classifier
from ..models.airbench import whiten
from ..settings import PGD, Airbench, Margin, Network, OwnArch, Preprocessing, TrainConfig
from ..settings import Dataset as DatasetConfig
from ..studies.margins.settings import MarginSettings
from ..studies.probes import Context, Probe, build_probe
from ..training import OPTIMISERS, Plan, learning_rate
from ..training.inputs import Adversary
from .cores import num_threads
from .own_arch import build_own_network

# images of the training split whose patches `arch.whiten` looks at
WHITENED = 5000


def options(node: Any) -> dict[str, Any]:
    """The settings of an option that its builder takes: all but `name` and those declared with `passed=False`."""
    passed = [declared.name for declared in fields(node) if declared.metadata.get("passed", True)]
    return {name: getattr(node, name) for name in passed if name != "name"}


def prepare_machine(device: str, threads: int | None) -> torch.device:
    """Pins the thread count, turns TF32 and non-deterministic convolutions off; the device to compute on."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, there in available.items() if there)
    elif not available[device]:
        there = ", ".join(name for name, ok in available.items() if ok)
        raise ConfigError("device", device, f"not available here; there is {there} (device=auto takes the best)")
    torch.set_num_threads(threads or num_threads())
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(device)


def build_dataset(config: DatasetConfig, device: torch.device) -> Dataset:
    """The data set, restricted to its classes, then to class-balanced subsets, on the device."""
    dataset: Dataset = DATASETS.bound(config.name, options(config))()
    if config.classes is not None:
        dataset = dataset.restricted(config.classes)
    dataset = dataset.at(config.train_indices, config.test_indices)
    if config.first is not None:
        dataset = dataset.first(config.first)
    for name, split in dataset.splits().items():
        if not len(split):
            raise ConfigError("dataset", config.name, f"has no {name} images with these settings")
    return dataset.subset(config.num_train, config.num_test, config.subset_seed or 0).to(device)


def build_network(config: TrainConfig, dataset: Dataset) -> Classifier:
    """The architecture for the data set's images and classes, freshly initialised, on the data set's device."""
    seed = _seed(config.training.init_seed, config)
    mean, std = normalisation(config.preprocessing, dataset, own=isinstance(config.arch, OwnArch))
    if isinstance(config.arch, OwnArch):
        own = build_own_network(config.arch, dataset, Normalise(mean, std), seed)
        return own.to(dataset.train.labels.device)
    classifier = build_classifier(
        config.arch.name,
        dataset.image_shape,
        dataset.num_classes,
        mean=mean,
        std=std,
        seed=seed,
        init=config.arch.init if isinstance(config.arch, Network) else "default",
        feature_dim=config.arch.feature_dim if isinstance(config.arch, Network) else None,
        feature_activation=config.arch.feature_activation if isinstance(config.arch, Network) else None,
        bias=not (isinstance(config.arch, Network) and config.arch.bias is False),
        options=options(config.arch),
    )
    if isinstance(config.arch, Airbench) and config.arch.whiten:
        whiten(classifier, dataset.train[:WHITENED].pixels().cpu())
    return classifier.to(dataset.train.labels.device)


def normalisation(given: Preprocessing, dataset: Dataset, *, own: bool) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel for the network's first layer, in pixel units of [0, 1].

    Args:
        given: what was asked for.
        dataset: whose channels they are; where none are given, its own.
        own: the network is a module of the user's own, which sees the images as they are unless told else.

    Raises:
        ConfigError: their number is not the number of channels.
    """
    channels = dataset.image_shape[0]
    if given.mean is None or given.std is None:
        return ([0.0] * channels, [1.0] * channels) if own else dataset.normalisation()
    for key in ("mean", "std"):
        if len(getattr(given, key)) not in (1, channels):
            problem = f"images of {dataset.name} have {channels} channels: give {channels} numbers, or one"
            raise ConfigError(f"preprocessing.{key}", getattr(given, key), problem)
    mean, std = (value * channels if len(value) == 1 else value for value in (given.mean, given.std))
    return mean, std


def compile_network(network: nn.Module) -> None:
    """Compiles the network in place (torch.compile), for batches of any size."""
    import torch._functorch.config

    # estimators take several gradients of one forward pass
    torch._functorch.config.donated_buffer = False
    # what the network is given is a copy of the leaf (see `core.measuring.logits_of`), whose gradient torch asks for
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
    network.compile(dynamic=True)


def build_optimiser(config: TrainConfig, classifier: Classifier) -> torch.optim.Optimizer:
    """The optimiser over all parameters."""
    own = options(config.optim)
    try:
        optimiser: torch.optim.Optimizer = OPTIMISERS.bound(config.optim.name, own)(classifier.parameters())
    except (LookupError, ValueError) as error:
        given = ", ".join(f"{key}={show_value(value)}" for key, value in own.items())
        raise ConfigError("optim", config.optim.name, f"not with {given} ({one_line(error)})") from None
    return optimiser


def build_plan(config: TrainConfig) -> Plan:
    """What to train for how long, and against which adversary."""
    training, optim = config.training, config.optim
    adversary = Adversary(**options(config.adv)) if isinstance(config.adv, PGD) else None
    rate = functools.partial(
        learning_rate,
        optim.schedule,
        optim.lr,
        milestones=optim.milestones,
        gamma=optim.gamma,
        warmup=optim.warmup,
    )
    return Plan(
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=rate,
        label_smoothing=training.label_smoothing,
        loss_scaled=bool(training.loss_scaled),
        crop_padding=training.crop_padding,
        flip=training.flip,
        adversary=adversary,
        precision=config.precision,
        seed=config.seed,
        data_seed=_seed(training.data_seed, config),
        overlap=training.overlap or 0,
        loss=training.loss or "cross_entropy",
    )


def planned_moments(config: TrainConfig, steps_per_epoch: int) -> dict[str, frozenset[int]]:
    """The optimiser steps whose networks are kept: those of each probe by its name, the run's own by an empty one."""
    total = config.training.epochs * steps_per_epoch
    wanted = {"": config.moments, **{name: node.moments or config.moments for name, node in config.probe.items()}}
    return {name: moment_steps(given.steps, given.epochs, steps_per_epoch, total) for name, given in wanted.items()}


def build_estimator(config: Margin, key: str = "margin") -> Estimator:
    """The margin estimator with its settings bound; `key` is the config key that named it."""
    estimator = ESTIMATORS.bound(config.name, options(config))

    def estimate(*arguments: Any, **settings: Any) -> MarginResult:
        try:
            return estimator(*arguments, **settings)
        except ValueError as error:
            raise UsageError(f"{key}={config.name}: {error}") from error

    return estimate


def check_norms(key: str, names: Iterable[str], norms: Sequence[str], norms_key: str) -> None:
    """Raises `UsageError` for an estimator, which the config key `key` names, that does not measure in these norms."""
    for name in names:
        able = ESTIMATORS.abilities(name).norms
        if beyond := [norm for norm in norms if norm not in able]:
            problem = f"measures in {', '.join(able)}, not in {', '.join(beyond)}"
            raise UsageError(f"{key}={name}: {problem}: {norms_key}=[{','.join(able)}] would do")


def named_estimators(key: str, names: Sequence[str]) -> dict[str, Margin]:
    """The settings of the estimators that the config key `key` lists: each with its defaults, by name.

    Raises:
        ConfigError: a name is a variant such as `deepfool_all`, or no estimator.
    """
    found: dict[str, Margin] = {}
    for name in names:
        try:
            settings: Margin = option_defaults("margin", "margin", name)
        except UsageError as error:
            raise ConfigError(key, list(names), str(error).partition(": ")[2]) from None
        if settings.name != name:
            problem = f"{name} is a variant of {settings.name}; this takes estimators by their names"
            raise ConfigError(key, list(names), problem)
        found[name] = settings
    return found


def build_probes(config: TrainConfig) -> dict[str, Probe]:
    """The probes of `probe=[...]` by their names in the config."""
    estimator, probes = build_estimator(config.margin), {}
    for name, node in config.probe.items():
        key = f"probe.{name}.beside"
        beside = named_estimators(key, getattr(node, "beside", None) or ())
        if isinstance(node, MarginSettings):
            check_norms("margin", [config.margin.name], node.norms, f"probe.{name}.norms")
            check_norms(key, beside, node.norms, f"probe.{name}.norms")
        context = Context(
            estimator=estimator,
            estimator_name=config.margin.name,
            data_seed=config.dataset.subset_seed or 0,
            beside={other: build_estimator(settings, key) for other, settings in beside.items()},
        )
        probes[name] = build_probe(node.name, context, node)
    return probes


def _seed(given: int | None, config: TrainConfig) -> int:
    return config.seed if given is None else given
