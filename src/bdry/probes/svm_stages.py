"""Training of the last layer on frozen features: the stages of `bdry svm`, and the arms of its bias experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.seeds import generator
from ..lastlayer import LastLayer, continue_last_layer, fresh_last_layer

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


@dataclass(frozen=True)
class Stage:
    """How a stage trains: see `schema.probe_svm`."""

    name: str
    steps: int
    checkpoints: int
    lr: float | None = None
    momentum: float = 0.9
    fresh: bool = False

    def run(
        self,
        features: Tensor,
        labels: Tensor,
        layer: LastLayer,
        target: LastLayer | None = None,
        stop_degrees: float = 1.0,
    ) -> Iterator[Trained]:
        """Full-batch steps from `layer`, log-spaced checkpoints; ends at `stop_degrees` from the target."""
        method = "gradient_descent" if self.name == "last_only" and self.momentum == 0 else METHODS[self.name]
        for point in continue_last_layer(
            features,
            labels,
            layer,
            method,
            steps=self.steps,
            lr=self.lr,
            momentum=self.momentum,
            checkpoints=self.checkpoints,
            target=target,
            stop_degrees=stop_degrees,
        ):
            yield Trained(self.name, point.step, point.layer, point.lr_sum, self.fresh)


@dataclass(frozen=True)
class Recipe:
    """How a run was trained. optimiser: of a list of parameters. learning_rate: of the share of training done."""

    optimiser: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
    learning_rate: Callable[[float], float]
    epochs: int
    batch_size: int

    def steps_per_epoch(self, num_samples: int) -> int:
        """Of all samples, the last batch as large as is left."""
        return math.ceil(num_samples / self.batch_size)

    def steps(self, num_samples: int) -> int:
        """Of the whole training, at least one."""
        return max(1, self.epochs * self.steps_per_epoch(num_samples))


def fresh_layer(like: LastLayer, seed: int) -> LastLayer:
    """The authors' re-initialisation of a layer of this shape."""
    num_classes, num_features = like.weights.shape
    fresh = fresh_last_layer(num_classes, num_features, generator(seed, "fresh last layer"))
    return LastLayer(fresh.weights.to(like.weights.device), fresh.biases.to(like.weights.device))


def retrain(
    features: Tensor, labels: Tensor, layer: LastLayer, recipe: Recipe, seed: int, checkpoints: int
) -> Iterator[Trained]:
    """A fresh `layer` trained on (N, d) frozen features as the whole run was; log-spaced checkpoints.

    Optimiser, rates, batch size and number of epochs are the run's; float64, an order of its own.

    Source: docs/papers/li2018.md, The bias experiment (b).
    """
    weights, biases = (torch.nn.Parameter(part.clone()) for part in (layer.weights, layer.biases))
    optimiser = recipe.optimiser([weights, biases])
    each, total = recipe.steps_per_epoch(len(features)), recipe.steps(len(features))
    moments = {round(total ** (i / (checkpoints - 1))) for i in range(checkpoints)}
    lr_sum = 0.0
    yield Trained("last_only", 0, layer, 0.0, fresh=True)
    for step in range(total):
        if step % each == 0:
            order = torch.randperm(len(features), generator=generator(seed, "last layer order", step // each))
        rows = order[step % each * recipe.batch_size :][: recipe.batch_size].to(features.device)
        rate = recipe.learning_rate(step / total)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(features[rows] @ weights.T + biases, labels[rows]).backward()
        optimiser.step()
        lr_sum += rate
        if step + 1 in moments:
            now = LastLayer(weights.detach().clone(), biases.detach().clone())
            yield Trained("last_only", step + 1, now, lr_sum, fresh=True)
