"""`arch=`: the classifier's architecture. Input shape and class count come from the data set."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from .option import option, schema

ACTIVATIONS = ("relu", "softplus", "silu", "gelu")
INITS = ("default", "kaiming", "xavier", "orthogonal")


@schema("arch", "linear")
@dataclass
class Arch:
    """What every architecture has; all that `linear` has."""

    name: str = option(MISSING, "the architecture")


@schema("arch", "base")
@dataclass
class Network(Arch):
    """An architecture with hidden layers."""

    activation: str = option("relu", "activation function; geometry needs a smooth one", choices=ACTIVATIONS)
    init: str = option(
        "default", "initial weights; default: PyTorch's; the others have zero biases; kaiming: He's", choices=INITS
    )
    feature_dim: int | None = option(
        None, "width of one more hidden layer, before the last; null: there is none", unit="features", ge=1, later=True
    )


@schema("arch", "mlp")
@dataclass
class MLP(Network):
    """Fully connected layers."""

    widths: list[int] = option([256, 128], "widths of the hidden layers", ge=1)
