"""What a network has to be to have curvature: which of its layers have kinks, and the same weights without them."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.measuring import Model
from ...core.norms import steepest
from ...core.seeds import generator
from .logit_gap import gap_and_gradient

# piecewise linear: between kinks the second derivative is 0
KINKED_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardsigmoid, nn.Threshold)
KINKED_POOLING = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool2d)
SMOOTH_ACTIVATIONS = (
    nn.Softplus,
    nn.SiLU,
    nn.GELU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Mish,
    nn.Softsign,
)
# how far, in pixel units, gradients are compared to tell an affine gap from a piecewise linear one
REACHES = (1.0, 10.0, 100.0)


class PiecewiseLinearError(ValueError):
    """Second derivatives of the network are 0 between its kinks, which is not a flat boundary."""


def kinks(model: nn.Module) -> tuple[str, ...]:
    """The kinds of the network's layers that have kinks, such as ("MaxPool2d", "ReLU"); sorted.

    A second derivative does not see what bends at them; max-pooling among smooth activations leaves out a part.

    Args:
        model: the network.
    """
    kinked = KINKED_ACTIVATIONS + KINKED_POOLING
    return tuple(sorted({type(layer).__name__ for layer in model.modules() if isinstance(layer, kinked)}))


def piecewise_linear_layers(model: Model) -> tuple[str, ...]:
    """The kinds of layers for which second derivatives are 0 almost everywhere, sorted; none of a smooth network.

    These are activations with kinks or, where max-pooling is all that is not linear, max-pooling. A callable that is
    no `nn.Module` shows no layers.

    Args:
        model: the network, or any callable.
    """
    if not isinstance(model, nn.Module):
        return ()
    layers = list(model.modules())
    bent = {type(layer).__name__ for layer in layers if isinstance(layer, KINKED_ACTIVATIONS)}
    if not bent and not any(isinstance(layer, SMOOTH_ACTIVATIONS) for layer in layers):
        bent = {type(layer).__name__ for layer in layers if isinstance(layer, KINKED_POOLING)}
    return tuple(sorted(bent))


def refuse_kinked(model: Model) -> None:
    """Raises `PiecewiseLinearError`, which names the layers, where there are `piecewise_linear_layers`."""
    bent = piecewise_linear_layers(model)
    if bent:
        raise _refusal("+".join(bent))


def refuse_piecewise_linear(model: Model, z: Tensor, own: Tensor, other: Tensor) -> None:
    """Raises where F = f_own - f_other, whose second derivatives are 0 at z, is not affine. (N, ...), (N,), (N,).

    Raises:
        PiecewiseLinearError: the gradient differs elsewhere: the network is piecewise linear.
    """
    direction = steepest(torch.randn(z.shape, generator=generator(0, "affine")).to(z), "l2")
    here = gap_and_gradient(model, z, own, other)[2]
    for reach in REACHES:
        there = gap_and_gradient(model, z + reach * direction, own, other)[2]
        if not torch.allclose(here, there, rtol=1e-3, atol=1e-5 * float(here.abs().amax())):
            raise _refusal("piecewise linear")


def _refusal(what: str) -> PiecewiseLinearError:
    return PiecewiseLinearError(
        f"the network's activation is {what}; its second derivatives are 0 between kinks, which is not a flat boundary"
    )


class SmoothMaxPool2d(nn.Module):
    """logsumexp(beta x) / beta over each window: to max-pooling what Softplus is to ReLU."""

    def __init__(self, pool: nn.MaxPool2d, beta: float) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = (_pair(v) for v in (pool.kernel_size, pool.stride, pool.padding))
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        (vertical, horizontal), lowest = self.padding, torch.finfo(x.dtype).min / self.beta
        padded = F.pad(x, (horizontal, horizontal, vertical, vertical), value=lowest) if any(self.padding) else x
        ends = [size - kernel + 1 for size, kernel in zip(padded.shape[2:], self.kernel, strict=True)]
        (down, right), (tall, wide) = self.stride, self.kernel
        # shifted copies, since torch.func has no batching rule for unfold's gradient
        shifted = [
            padded[:, :, i : i + ends[0] : down, j : j + ends[1] : right] for i in range(tall) for j in range(wide)
        ]
        return torch.logsumexp(self.beta * torch.stack(shifted), dim=0) / self.beta


def with_softplus(model: nn.Module, beta: float) -> nn.Module:
    """A copy with the same weights, ReLU replaced by Softplus(beta) and max-pooling by logsumexp; exact as beta grows.

    Its boundary is another one: points have to be refined again, and its accuracy belongs beside its curvatures.

    Args:
        model: the network.
        beta: sharpness; a kink is rounded over about 1 / beta of the activation's input.

    Raises:
        ValueError: beta is not positive.
        PiecewiseLinearError: the network has kinked layers other than ReLU and plain 2-d max-pooling.
    """
    if not beta > 0:
        raise ValueError(f"beta={beta}: must be above 0")
    swapped = _smoothed(copy.deepcopy(model), beta)
    left = kinks(swapped)
    if left:
        raise PiecewiseLinearError(f"cannot smooth {', '.join(left)}; ReLU and plain MaxPool2d can be")
    return swapped.train(model.training)


def _smoothed(layer: nn.Module, beta: float) -> nn.Module:
    if isinstance(layer, nn.ReLU):
        return nn.Softplus(beta)
    if isinstance(layer, nn.MaxPool2d) and _pair(layer.dilation) == (1, 1) and not layer.ceil_mode:
        return SmoothMaxPool2d(layer, beta)
    for name, child in layer.named_children():
        setattr(layer, name, _smoothed(child, beta))
    return layer


class WrittenOutSiLU(nn.SiLU):
    """x sigmoid(x): torch has no forward derivative of the fused SiLU's gradient, which second derivatives take."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return x * torch.sigmoid(x)


def in_double(model: nn.Module) -> nn.Module:
    """A float64 copy in eval mode with frozen parameters: what |F| < 1e-10 and curvatures to 1e-8 need.

    SiLU is written out in it, so that every kind of second derivative exists.

    Args:
        model: the network.
    """
    return _written_out(copy.deepcopy(model)).double().eval().requires_grad_(False)


def _written_out(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.SiLU):
        return WrittenOutSiLU()
    for name, child in layer.named_children():
        setattr(layer, name, _written_out(child))
    return layer


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
