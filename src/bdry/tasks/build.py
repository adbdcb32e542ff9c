"""From config nodes to the things they name."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ..data import DATASETS, Dataset
from ..errors import ConfigError
from ..margins import ESTIMATORS, Estimator
from ..models import Classifier, build_classifier
from ..probes import PROBES, Context, Probe
from ..schema import PGD, Margin, TrainConfig
from ..schema import Dataset as DatasetConfig
from ..schema.arch import Network
from ..training import OPTIMISERS, Plan, learning_rate
from ..training.adversary import Adversary
from .cores import num_cores

# keys of every data set, network and optimiser that its builder does not take
SELECTION = ("classes", "num_train", "num_test", "subset_seed", "pgd")
INITIALISATION = ("init", "feature_dim", "feature_activation")
SCHEDULE = ("schedule", "milestones", "gamma", "warmup")


def options(node: Any, *without: str) -> dict[str, Any]:
    """The settings of an option, `name` and those listed left out."""
    return {key: value for key, value in asdict(node).items() if key not in ("name", *without)}


def prepare_machine(device: str, threads: int | None) -> torch.device:
    """Pins the thread count, turns TF32 and non-deterministic convolutions off; the device to compute on."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, there in available.items() if there)
    elif not available[device]:
        there = ", ".join(name for name, ok in available.items() if ok)
        raise ConfigError("device", device, f"not available here; there is {there} (device=auto takes the best)")
    torch.set_num_threads(threads or num_cores())
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(device)


def build_dataset(config: DatasetConfig, device: torch.device) -> Dataset:
    """The data set, restricted to its classes, then to class-balanced subsets, on the device."""
    own = options(config, *SELECTION)
    DATASETS.check_options(config.name, own)
    dataset = DATASETS[config.name](**own)
    if config.classes is not None:
        dataset = dataset.restricted(config.classes)
    return dataset.subset(config.num_train, config.num_test, config.subset_seed).to(device)


def build_network(config: TrainConfig, dataset: Dataset) -> Classifier:
    """The architecture for the data set's images and classes, freshly initialised, on the data set's device."""
    mean, std = dataset.normalisation()
    classifier = build_classifier(
        config.arch.name,
        dataset.image_shape,
        dataset.num_classes,
        mean=mean,
        std=std,
        seed=_seed(config.training.init_seed, config),
        init=config.arch.init if isinstance(config.arch, Network) else "default",
        feature_dim=config.arch.feature_dim if isinstance(config.arch, Network) else None,
        feature_activation=config.arch.feature_activation if isinstance(config.arch, Network) else None,
        options=options(config.arch, *INITIALISATION),
    )
    return classifier.to(dataset.train.labels.device)


def compile_network(network: nn.Module) -> None:
    """Compiles the network in place (torch.compile), for batches of any size."""
    import torch._functorch.config

    # estimators take several gradients of one forward pass
    torch._functorch.config.donated_buffer = False
    network.compile(dynamic=True)


def build_optimiser(config: TrainConfig, classifier: Classifier) -> torch.optim.Optimizer:
    """The optimiser over all parameters."""
    own = options(config.optim, *SCHEDULE)
    OPTIMISERS.check_options(config.optim.name, own)
    return OPTIMISERS[config.optim.name](classifier.parameters(), **own)


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
        crop_padding=training.crop_padding,
        flip=training.flip,
        adversary=adversary,
        precision=config.precision,
        seed=config.seed,
        data_seed=_seed(training.data_seed, config),
        overlap=training.overlap or 0,
    )


def build_estimator(config: Margin) -> Estimator:
    """The margin estimator with its settings bound."""
    own = options(config)
    ESTIMATORS.check_options(config.name, own)
    return functools.partial(ESTIMATORS[config.name], **own)


def build_probes(config: TrainConfig) -> dict[str, Probe]:
    """The probes of `probe=[...]` by their names in the config."""
    context = Context(
        estimator=build_estimator(config.margin),
        estimator_name=config.margin.name,
        data_seed=config.dataset.subset_seed,
    )
    return {name: PROBES[node.name](context, **options(node, "moments")) for name, node in config.probe.items()}


def _seed(given: int | None, config: TrainConfig) -> int:
    return config.seed if given is None else given
