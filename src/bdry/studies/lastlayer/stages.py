"""Training of the last layer on frozen features: the stages of `bdry svm`, and the arms of its bias experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ...core.seeds import generator
from ...lastlayer import (
    Checkpoint,
    LastLayer,
    TrainingRecipe,
    continue_last_layer,
    fresh_last_layer,
    retrain_last_layer,
)
from .settings import StageSettings

# stage -> method of `lastlayer.METHODS`
METHODS = {"last_only": "momentum", "last_only_loss_scaled": "loss_scaled", "accelerated": "accelerated"}


@dataclass(frozen=True)
class Trained:
    """The last layer after `step` steps of a stage; step 0 is where it began. lr_sum: nan where there is no rate."""

    stage: str
    step: int
    layer: LastLayer
    lr_sum: float
    fresh: bool


def run_stage(
    settings: StageSettings, features: Tensor, labels: Tensor, layer: LastLayer, target: LastLayer | None = None
) -> Iterator[Trained]:
    """Full-batch steps from `layer`, log-spaced checkpoints; ends at `stop_degrees` from the target."""
    plain = settings.stage == "last_only" and settings.momentum == 0
    checkpoints = continue_last_layer(
        features,
        labels,
        layer,
        "gradient_descent" if plain else METHODS[settings.stage],
        steps=settings.steps,
        lr=settings.lr,
        momentum=settings.momentum,
        checkpoints=settings.num_checkpoints,
        target=target,
        stop_degrees=settings.stop_degrees,
    )
    yield from _trained(settings.stage, checkpoints, fresh=settings.fresh)


def run_as_trained(
    settings: StageSettings, features: Tensor, labels: Tensor, layer: LastLayer, recipe: TrainingRecipe
) -> Iterator[Trained]:
    """A fresh `layer` trained as the whole run was."""
    checkpoints = retrain_last_layer(
        features, labels, layer, recipe, seed=settings.seed, checkpoints=settings.num_checkpoints
    )
    yield from _trained("last_only", checkpoints, fresh=True)


def fresh_layer(like: LastLayer, seed: int) -> LastLayer:
    """The authors' re-initialisation of a layer of this shape."""
    num_classes, num_features = like.weights.shape
    fresh = fresh_last_layer(num_classes, num_features, generator(seed, "fresh last layer"))
    return LastLayer(fresh.weights.to(like.weights.device), fresh.biases.to(like.weights.device))


def _trained(stage: str, checkpoints: Iterator[Checkpoint], *, fresh: bool) -> Iterator[Trained]:
    for point in checkpoints:
        yield Trained(stage, point.step, point.layer, point.lr_sum, fresh)
