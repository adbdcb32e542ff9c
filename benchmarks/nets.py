"""The two nets that `benchmarks/margins.py` compares on: plain torch, imported by our side and by the peers'.

Both take images in [0, 1], (N, 1, 28, 28), and normalise inside, so that every distance is in pixel units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

# Parameters as in the nets whose peers' numbers were measured first: a changed net is noticed, not compared.
PARAMETERS = {"mlp": 269_322, "cnn": 857_738}


class Normalise(nn.Module):
    """(x - mean) / std with constants that travel with the weights."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def mlp(mean: float = 0.0, std: float = 1.0) -> nn.Sequential:
    """784-256-256-10 with ReLU."""
    return nn.Sequential(
        Normalise(mean, std),
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def cnn(mean: float = 0.0, std: float = 1.0) -> nn.Sequential:
    """Two 5x5 convolutions (32, 64), each with ReLU and 2x2 max-pooling, then 3136-256-10."""
    return nn.Sequential(
        Normalise(mean, std),
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


NETS: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp, "cnn": cnn}


def load(name: str, weights: Path) -> nn.Sequential:
    """The net in eval mode with its parameters frozen: no row of the comparison pays for their gradients."""
    net = NETS[name]()
    net.load_state_dict(load_file(weights))
    return net.eval().requires_grad_(False)


class Counted(nn.Module):
    """A net that counts the images that pass through it, forwards and backwards, in the same way for every row.

    A gradient that reaches the logits is one backward pass of its whole batch.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.forwards = self.backwards = 0

    def reset(self) -> None:
        """Both counts to 0."""
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits = self.net(x)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def chunks(size: int, batch: int) -> Sequence[slice]:
    """0 ... size in slices of at most `batch`."""
    return [slice(start, min(start + batch, size)) for start in range(0, size, batch)]
