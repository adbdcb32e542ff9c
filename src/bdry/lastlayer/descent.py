"""Training of the last layer alone on frozen features, to the limit: full batch, float64, losses as logarithms.

Plain gradient descent approaches the SVM as 1 / log t; loss-scaled steps and the accelerated method get there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .accelerated import MarginDescent
from .angles import angle_degrees
from .layer import LastLayer, checked, log_sample_losses, pair_margins


@dataclass(frozen=True)
class Checkpoint:
    """The layer after `step` steps.

    norm: of the centred [W b]. log_loss: log of the summed loss. lr_sum: sum of the steps' lr; nan for the
    accelerated method, which has none. angle: degrees between
    the layer and the target, nan without one.
    """

    step: int
    layer: LastLayer
    norm: float
    log_loss: float
    lr_sum: float
    angle: float


# one step from weights (K, D) to weights (K, D)
Step = Callable[[Tensor], Tensor]

# maker of steps from x (N, D) with its bias feature, labels (N,), lr (None: the usual one) and momentum; also gives the
# lr that is used
Method = Callable[[Tensor, Tensor, float | None, float], tuple[Step, float]]


def log_loss_and_gradient(x: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """log of the summed cross-entropy, and its gradient by the weights, (K, D): grad L / L.

    Computed from logarithms: exact where the loss itself is below the smallest float64.
    """
    margins = pair_margins(x @ weights.T, labels)
    log_loss = log_sample_losses(margins).logsumexp(0)
    exponent = (-margins).logsumexp(1, keepdim=True)
    share = (-margins - torch.nn.functional.softplus(exponent) - log_loss).exp()
    share = share.scatter(1, labels[:, None], -share.sum(1, keepdim=True))
    return log_loss, share.T @ x


def gradient_descent(x: Tensor, labels: Tensor, lr: float | None, momentum: float) -> tuple[Step, float]:
    """Steps of `lr` along the mean loss's gradient; by default 1 / its smoothness."""
    rate = 2 * len(x) / float(torch.linalg.matrix_norm(x, 2)) ** 2 if lr is None else lr

    def step(weights: Tensor) -> Tensor:
        log_loss, gradient = log_loss_and_gradient(x, labels, weights)
        return weights - rate / len(x) * log_loss.exp() * gradient

    return step, rate


def with_momentum(x: Tensor, labels: Tensor, lr: float | None, momentum: float) -> tuple[Step, float]:
    """Heavy-ball steps as torch's SGD has them; by default `lr` is (1 - momentum) / smoothness."""
    smoothness = float(torch.linalg.matrix_norm(x, 2)) ** 2 / (2 * len(x))
    rate = (1 - momentum) / smoothness if lr is None else lr
    velocity = torch.zeros(0)

    def step(weights: Tensor) -> Tensor:
        nonlocal velocity
        log_loss, gradient = log_loss_and_gradient(x, labels, weights)
        gradient = log_loss.exp() / len(x) * gradient
        velocity = momentum * velocity + gradient if velocity.numel() else gradient
        return weights - rate * velocity

    return step, rate


def loss_scaled(x: Tensor, labels: Tensor, lr: float | None, momentum: float) -> tuple[Step, float]:
    """Steps of `lr` along the gradient of the logarithm of the loss; by default .5 / largest squared norm of x."""
    rate = 0.5 / float(x.square().sum(1).max()) if lr is None else lr

    def step(weights: Tensor) -> Tensor:
        return weights - rate * log_loss_and_gradient(x, labels, weights)[1]

    return step, rate


def accelerated(x: Tensor, labels: Tensor, lr: float | None, momentum: float) -> tuple[Step, float]:
    """Dual-accelerated margin descent; it scales its steps itself."""
    return MarginDescent(x, labels).step, math.nan


METHODS: dict[str, Method] = {
    "gradient_descent": gradient_descent,
    "momentum": with_momentum,
    "loss_scaled": loss_scaled,
    "accelerated": accelerated,
}


def continue_last_layer(
    features: Tensor,
    labels: Tensor,
    layer: LastLayer,
    method: str = "accelerated",
    *,
    steps: int,
    bias: str = "penalised",
    lr: float | None = None,
    momentum: float = 0.9,
    checkpoints: int = 12,
    target: LastLayer | None = None,
    stop_degrees: float = 1.0,
) -> Iterator[Checkpoint]:
    """Trains `layer` on (N, d) features, yielding log-spaced checkpoints from step 0 to the last one.

    It ends after `steps`, or once the angle to `target` is below `stop_degrees`. The angle is of the parameters that
    are trained: [W b], or W alone where bias="none", which takes the layer's biases as zeros.

    Args:
        features: (N, d), finite.
        labels: (N,) int64, of two classes at least.
        layer: Where training begins, (K, d) and (K,).
        method: One of `METHODS`.
        steps: At most; at least 1.
        bias: "penalised" trains W and b by the same steps; "none" trains W.
        lr: Length of a step; None is the method's own choice, see there.
        momentum: Of the method "momentum", in [0, 1).
        checkpoints: How many to yield, at least 2; fewer where some fall on the same step.
        target: The layer that angles are to; None: they are nan.
        stop_degrees: The angle to `target` at which it ends.

    Raises:
        ValueError: an unknown method or bias, shapes that do not fit, no two classes.

    Source: arXiv 1808.05385 (the limit), Soudry et al. 2018 (rates), Lyu and Li 2020 (loss-scaled steps).
    """
    features, labels, _ = checked(features, labels, len(layer.weights))
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if bias not in ("penalised", "none"):
        raise ValueError(f"bias must be penalised (W and b by the same steps) or none in training, not {bias!r}")
    if layer.weights.shape[1] != features.shape[1]:
        raise ValueError(f"a layer of {layer.weights.shape[1]} inputs on {features.shape[1]} features")
    if steps < 1 or checkpoints < 2:
        raise ValueError(f"steps={steps}, checkpoints={checkpoints}: want at least 1 and 2")
    x, weights = features, layer.weights.to(features.device)
    if bias == "penalised":
        x, weights = torch.cat([x, torch.ones_like(x[:, :1])], 1), layer.joint().to(features.device)
    aim = None if target is None else (target.joint() if bias == "penalised" else target.weights).to(features.device)
    if aim is not None:
        aim = aim - aim.mean(0)
    moments = {0, *(round(steps ** (i / (checkpoints - 1))) for i in range(checkpoints))}
    advance, rate = METHODS[method](x, labels, lr, momentum)
    for step in range(steps + 1):
        if step > 0:
            weights = advance(weights)
        centred = weights - weights.mean(0)
        near = aim is not None and _nearly(centred, aim, stop_degrees)
        if step in moments or near:
            yield Checkpoint(
                step,
                _layer(weights, bias),
                float(centred.norm()),
                float(log_sample_losses(pair_margins(x @ weights.T, labels)).logsumexp(0)),
                step * rate,
                math.nan if aim is None else angle_degrees(centred, aim),
            )
        if near:
            return


def _nearly(a: Tensor, b: Tensor, degrees: float) -> bool:
    return float((a * b).sum()) >= math.cos(math.radians(degrees)) * float(a.norm() * b.norm()) > 0


def _layer(weights: Tensor, bias: str) -> LastLayer:
    if bias == "none":
        return LastLayer(weights, torch.zeros_like(weights[:, 0]))
    return LastLayer(weights[:, :-1], weights[:, -1])
