"""`probe=[deepdig]` and `bdry deepdig`: generated borderline instances between pairs of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ...names import AUTOENCODERS, GENERATORS, SPLITS
from ...settings.options import ESTIMATORS, option, schema
from ...settings.probe import Probe
from ...settings.run_task import LastLayerTask


@dataclass
class DeepDigSettings:
    """What is generated and measured; the defaults are the authors', where they are known."""

    pairs: Any = option([[1, 2]], "pairs of classes, each in both directions, as in [[1,2],[4,9]]; or all")
    num_train: int | None = option(None, "training images, class-balanced; null: all of the run's", unit="images", ge=1)
    num_test: int | None = option(None, "test images, class-balanced; null: all of the run's", unit="images", ge=1)
    seed: int = option(0, "seed of autoencoders, random pairs and segments", ge=0)
    methods: list[str] = option(
        ["deepdig", "real_ae1", "rpbs", "epbs", "epbs_as_coded", "margin_bisect"],
        "generators of borderline instances",
        choices=GENERATORS,
    )
    autoencoder: str | None = option(
        None, "architecture; null: fc for grey images, conv for colour ones", choices=AUTOENCODERS
    )
    widths: list[int] | None = option(
        None, "its hidden widths or channels; null: the authors'", ge=1, le=65536, may_repeat=True
    )
    alphas: list[float] = option(
        [0.8, 0.8], "weight of the class term in stages I and II", ge=0, length=2, may_repeat=True
    )
    class_term: str = option("bce", "class term: as coded, or ce, about K times as heavy", choices=("bce", "ce"))
    reconstruction: str = option("bce", "reconstruction term", choices=("bce", "mse"))
    steps: int = option(5000, "optimiser steps of each stage", ge=1)
    batch_size: int = option(128, "images for each step", ge=1)
    lr: float = option(0.01, "Adam's rate", gt=0)
    lr_decay: float = option(0.95, "the rate's factor every lr_decay_every steps", gt=0, le=1)
    lr_decay_every: int = option(1000, "the rate falls by lr_decay this often", unit="steps", ge=1)
    dropout: float = option(0.0, "dropout in the autoencoders", ge=0, lt=1)
    precision: str = option(
        "fp32", "arithmetic of the autoencoders' training; all else is fp32", choices=("fp32", "bf16")
    )
    log_every: int = option(100, "how often the table ae_training gets a row", unit="steps", ge=1)
    patience: int | None = option(
        None, "a pair stops after so many logged losses not 1 % below its best; null: never early", ge=1
    )
    min_collapse_ratio: float = option(
        0.1, "spread of outputs / spread of inputs below which a stage has collapsed", ge=0
    )
    max_restarts: int = option(3, "trainings from the next seed after a collapse", ge=0)
    stack: int | None = option(None, "pairs trained side by side; null: what fits the device", ge=1, le=10_000)
    beta: float = option(1e-4, "bisection ends where the two probabilities differ by less", gt=0)
    max_attempts: int = option(40, "midpoints tried on a segment", ge=1)
    estimator: str = option("walk", "margin estimator of margin_bisect", choices=ESTIMATORS)
    clipped: bool = option(True, "whether margin_bisect stays inside the [0, 1] box")
    grid: int = option(50, "T: points on a segment between borderline instances", ge=2, le=1_000_000)
    num_partners: int = option(50, "M: segments from each start instance", ge=1, le=1_000_000)
    max_starts: int | None = option(200, "start instances; null: all, as the authors; 200 is our choice", ge=1)
    gamma: float = option(0.05, "hysteresis flips leave out points where the probabilities differ by less", ge=0)
    svm_penalty: float = option(1.0, "C of the linear SVM on the features", gt=0)
    svm_max_iter: int = option(10000, "iterations of that SVM at most", ge=1)
    num_detailed: int = option(1, "first pairs looked at closely: pictures, further alphas and grids", ge=0)
    further_alphas: list[float] = option(
        [0.05, 0.2, 3.0], "weights of the class term tried there", ge=0, may_be_empty=True
    )
    further_grids: list[int] = option([10, 200], "T tried there", ge=2, may_be_empty=True)
    redraw: bool = option(False, "draw every batch anew, as coded, so that batches overlap; else in epochs")
    instances: list[str] = option(
        ["train"], "images that instances are made of; those of test have tables of their own", choices=SPLITS
    )
    num_saved: int | None = option(
        50, "instances of each pair and method kept as images; null: all", unit="images", ge=0
    )

    def check_together(self) -> None:
        """Pairs of two classes each."""
        check_pairs(self.pairs)


def check_pairs(pairs: Any) -> None:
    """Raises `ConfigError` for what is neither `all` nor a list of pairs of two different classes."""
    if pairs == "all":
        return
    if not isinstance(pairs, list) or not pairs:
        raise ConfigError("pairs", pairs, "must be all or a list of pairs, as in [[1,2],[4,9]]")
    for pair in pairs:
        whole = isinstance(pair, list) and all(isinstance(c, int) and not isinstance(c, bool) for c in pair)
        if not whole or len(pair) != 2:
            raise ConfigError("pairs", pairs, "must be all or a list of pairs, as in [[1,2],[4,9]]")
        if pair[0] == pair[1]:
            raise ConfigError("pairs", pairs, "has one class twice in a pair; a boundary lies between two")
        if min(pair) < 0:
            raise ConfigError("pairs", pairs, "classes are counted from 0")


@schema("probe", "deepdig")
@dataclass
class DeepDigProbeConfig(DeepDigSettings, Probe):
    """Borderline instances in training."""


@dataclass
class DeepDigConfig(DeepDigSettings, LastLayerTask):
    """The whole config of `bdry deepdig`."""
