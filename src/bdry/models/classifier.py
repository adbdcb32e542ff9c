"""The noun Classifier: images in [0, 1] to logits, split into features and a linear head.

`forward(x) = head(features(x))`, and normalisation is the first layer, so that every distance is in pixel units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..core.seeds import derive, generator, seeded_globally
from ..errors import UsageError, did_you_mean, out_of_memory
from ..registry import Registry

# a builder takes the image shape (C, H, W) and its option's settings and gives the body: (N, C, H, W) -> (N, features)
ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("arch")


class Square(nn.Module):
    """x^2 of each number."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x.square()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "selu": nn.SELU,
    "square": Square,
}


class Normalise(nn.Module):
    """(x - mean) / std for each channel; mean and std are buffers, hence saved with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """A network over images in [0, 1] of shape (N, C, H, W)."""

    def __init__(self, normalise: nn.Module, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.normalise = normalise
        self.body = body
        self.head = head

    @property
    def head_bias(self) -> Tensor:
        """The head's bias, (K,); zeros where it has none."""
        weight = self.head.weight
        return weight.new_zeros(len(weight)) if self.head.bias is None else self.head.bias

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, (N, C, H, W) -> (N, F)."""
        features: Tensor = self.body(self.normalise(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """The logits, (N, C, H, W) -> (N, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits


def build_classifier(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: list[float],
    std: list[float],
    seed: int,
    init: str = "default",
    feature_dim: int | None = None,
    feature_activation: str | None = None,
    bias: bool = True,
    options: dict[str, Any] | None = None,
) -> Classifier:
    """The architecture `name` with initial weights drawn from `seed`.

    Args:
        name: one of `ARCHITECTURES`.
        image_shape: (C, H, W) of the data set.
        num_classes: K.
        mean: of each channel, for the normalisation layer, in pixel units of [0, 1].
        std: the same channels' standard deviations.
        seed: of the initial weights.
        init: how the weights are drawn: `default` is PyTorch's way, see `initialise` for the others.
        feature_dim: width of a last hidden linear layer that is put between the body and the head; None: the body's own
            features.
        feature_activation: activation after that layer, or "none"; None: the option `activation`.
        bias: False leaves out every bias, the head's and batch-norm's too: with ReLU, no activation or square the
            network is then homogeneous in its weights, as Lyu, Li (arXiv 1906.05890) ask.
        options: the architecture's own settings, such as `widths`.

    Raises:
        UsageError: no such architecture, setting or initialisation, or the images are too small for it.
    """
    options = options or {}
    build_body = ARCHITECTURES.bound(name, options)
    with seeded_globally(derive(seed, "init")):
        try:
            body = build_body(image_shape)
            num_features = flat_size(body, image_shape)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            shape = "x".join(map(str, image_shape))
            raise UsageError(f"arch={name}: images of {shape} are too small for it; arch=mlp takes any size") from None
        if feature_dim is not None:
            layer = nn.Linear(num_features, feature_dim)
            last = feature_activation or options["activation"]
            body = nn.Sequential(body, nn.Flatten(), layer, nn.Identity() if last == "none" else ACTIVATIONS[last]())
            num_features = feature_dim
        head = nn.Linear(num_features, num_classes)
    classifier = Classifier(Normalise(mean, std), body, head)
    initialise(classifier, init, generator(seed, "init"))
    if not bias:
        for module in classifier.modules():
            if getattr(module, "bias", None) is not None:
                module.register_parameter("bias", None)
    return classifier


def fully_connected(num_inputs: int, widths: list[int], activation: str) -> nn.Sequential:
    """Linear layers of `widths`, each followed by the activation, on flattened input."""
    layers: list[nn.Module] = [nn.Flatten()]
    for num_in, num_out in zip([num_inputs, *widths], widths, strict=False):
        layers += [nn.Linear(num_in, num_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def flat_size(body: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """How many numbers `body` makes of one image; raises `RuntimeError` where the image is too small for it."""
    body.eval()
    with torch.no_grad():
        output: Tensor = body(torch.zeros(1, *image_shape))
    body.train()
    return output.shape[1:].numel()


# each draws a weight tensor in place, as scheme(weight, generator=...)
SCHEMES: dict[str, Callable[..., object]] = {
    "kaiming": functools.partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
}


def initialise(network: nn.Module, scheme: str, draw: torch.Generator) -> None:
    """Draws the weights of all convolutions and linear layers, the head among them, anew and sets their biases to 0.

    The gain of ReLU (`kaiming`) and of no activation (`xavier`, `orthogonal`) holds for every layer and activation.
    Batch-norm stays as it is. `default` leaves all as PyTorch made it.

    Args:
        scheme: `kaiming`, normal of variance 2 / fan_in (He et al. 2015, arXiv 1502.01852); `xavier`, uniform of
            variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010); `orthogonal`, rows or columns of the weight as a
            matrix (outputs x the rest) are orthonormal (Saxe et al. 2014, arXiv 1312.6120).

    Raises:
        UsageError: there is no such scheme.
    """
    if scheme == "default":
        return
    if scheme not in SCHEMES:
        raise UsageError(f"arch.init={scheme}: no such initialisation{did_you_mean(scheme, ['default', *SCHEMES])}")
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            # drawn in the usual layout, whichever the layer's is
            fresh = torch.empty(layer.weight.shape)
            SCHEMES[scheme](fresh, generator=draw)
            with torch.no_grad():
                layer.weight.copy_(fresh)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
