"""Training of the last layer on frozen features in the way that the whole network was trained (li2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.seeds import generator
from .descent import Checkpoint
from .layer import LastLayer, log_sample_losses, pair_margins


@dataclass(frozen=True)
class TrainingRecipe:
    """How a network was trained.

    Args:
        optimiser: Gives the optimiser of a list of parameters.
        learning_rate: The rate at a share of training done, 0 to 1.
        epochs: Passes over the samples.
        batch_size: Samples for each step.
    """

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


def retrain_last_layer(
    features: Tensor, labels: Tensor, layer: LastLayer, recipe: TrainingRecipe, *, seed: int, checkpoints: int
) -> Iterator[Checkpoint]:
    """Trains `layer` on frozen features as the whole network was, in float64; yields log-spaced checkpoints.

    Args:
        features: (N, d), float64.
        labels: (N,), int64.
        layer: Where training begins, usually a fresh layer.
        recipe: Optimiser, rates, batch size and number of epochs.
        seed: Of the order of samples, an order of its own.
        checkpoints: How many are yielded at most, beside step 0.

    Source: arXiv 1808.05385 and its authors' README; made fair by equal steps (docs/papers/li2018.md).
    """
    weights, biases = (torch.nn.Parameter(part.clone()) for part in (layer.weights, layer.biases))
    optimiser = recipe.optimiser([weights, biases])
    each, total = recipe.steps_per_epoch(len(features)), recipe.steps(len(features))
    moments = {round(total ** (i / (checkpoints - 1))) for i in range(checkpoints)}
    lr_sum = 0.0
    yield _checkpoint(features, labels, 0, layer, 0.0)
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
            yield _checkpoint(features, labels, step + 1, now, lr_sum)


def _checkpoint(features: Tensor, labels: Tensor, step: int, layer: LastLayer, lr_sum: float) -> Checkpoint:
    return Checkpoint(
        step,
        layer,
        norm=float(layer.centred().joint().norm()),
        log_loss=float(log_sample_losses(pair_margins(layer.logits(features), labels)).logsumexp(0)),
        lr_sum=lr_sum,
        angle=math.nan,
    )
