"""`arch=`: the classifier's architecture, and `preprocessing`: its first layer. Shapes come from the data set."""

from __future__ import annotations

import re
from dataclasses import dataclass

from omegaconf import MISSING

from ..errors import ConfigError
from .options import option, schema

ACTIVATIONS = ("relu", "softplus", "silu", "gelu", "leaky_relu", "softsign", "tanh", "selu", "square")
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
        "default",
        "initial weights; default: PyTorch's; the others have zero biases; kaiming: He's",
        choices=INITS,
        passed=False,
    )
    bias: bool | None = option(
        None,
        "false: no layer has a bias, the last included; null: those the architecture has",
        later=True,
        passed=False,
    )
    feature_dim: int | None = option(
        None,
        "width of one more hidden layer, before the last; null: there is none",
        unit="features",
        ge=1,
        le=65536,
        later=True,
        passed=False,
    )
    feature_activation: str | None = option(
        None,
        "activation after that layer; null: the same as the others'; relu may kill units of a narrow one",
        choices=(*ACTIVATIONS, "none"),
        later=True,
        passed=False,
    )

    def check_together(self) -> None:
        """An activation needs its layer."""
        if self.feature_activation is not None and self.feature_dim is None:
            raise ConfigError("feature_activation", self.feature_activation, "needs feature_dim, its layer's width")


@schema("arch", "mlp")
@dataclass
class MLP(Network):
    """Fully connected layers."""

    widths: list[int] = option([256, 128], "widths of the hidden layers", ge=1, le=65536, may_repeat=True)


@schema("arch", "airbench")
@dataclass
class Airbench(Network):
    """A fast convolutional network."""

    activation: str = option("gelu", "activation function; geometry needs a smooth one", choices=ACTIVATIONS)
    stem: int = option(24, "channels of the first convolution", ge=1, le=65536)
    widths: list[int] = option(
        [32, 128, 128],
        "channels of the blocks, each of which halves height and width",
        ge=1,
        le=65536,
        may_repeat=True,
    )
    norm: str = option("batch", "batch-norm before each activation in the blocks, or none", choices=("batch", "none"))
    whiten: bool | None = option(
        None,
        "true: the first convolution whitens patches of training images, and stays so; stem: 8 times their channels",
        later=True,
        passed=False,
    )


@schema("arch", "module")
@dataclass
class OwnArch(Arch):
    """A whole network of the user's own.

    code, built: filled in by bdry, so that another network is another experiment; see `session.own_arch`.
    """

    build: str = option(MISSING, "my_module:build, a function without arguments that gives an nn.Module")
    head: str | None = option(None, "name in it of the nn.Linear that gives the logits, as in fc; null: found")
    code: str | None = option(None, "SHA-256 of my_module and of all that it imports", hidden=True)
    built: str | None = option(None, "SHA-256 of what it builds for every seed", hidden=True)

    def check_together(self) -> None:
        """A function that can be found."""
        check_function("build", self.build)


def check_function(key: str, name: str) -> None:
    """Raises `ConfigError` where `name` is not of the form <module>:<function>."""
    if name.partition(":")[0].endswith(".py"):
        raise ConfigError(key, name, f"names a file: the module is named, as in {name.replace('.py:', ':')}")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise ConfigError(key, name, "not of the form <module>:<function>, as in my_module:build")


@dataclass
class Preprocessing:
    """What the network's first layer does to images in [0, 1]: (x - mean) / std."""

    mean: list[float] | None = option(
        None,
        "of each channel, or one for all; null: the training split's, but 0 for a module of your own",
        unit="pixel units of [0, 1]",
        later=True,
        may_repeat=True,
    )
    std: list[float] | None = option(
        None,
        "of each channel, or one for all; null: the training split's, but 1 for a module of your own",
        unit="pixel units of [0, 1]",
        gt=0,
        later=True,
        may_repeat=True,
    )

    def check_together(self) -> None:
        """Both or none, of images in [0, 1]."""
        if self.mean is not None and max(self.mean) > 1:
            raise ConfigError("mean", self.mean, "images are in [0, 1]: divide mean and std by 255")
        for key, other in (("mean", "std"), ("std", "mean")):
            if getattr(self, key) is not None and getattr(self, other) is None:
                raise ConfigError(key, getattr(self, key), f"goes with preprocessing.{other}")
