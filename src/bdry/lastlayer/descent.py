"""Training of the last layer alone on frozen features, in float64.

To the limit it is full batch, with losses as logarithms: plain gradient descent approaches the SVM as 1 / log t;
loss-scaled steps and the accelerated method get there. Or in the way that the whole network was trained (li2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.seeds import generator
from .layer import LastLayer, angle_degrees, checked, log_sample_losses, pair_margins
from .problem import Problem
from .work import Work

START_STEPS = 300
# the curvature is looked at again after so many steps, by so many power iterations, each at the cost of a step
REFRESH, POWER_STEPS = 25, 4
# least curvature, as a share of the largest that there can be: where the start does not separate the samples, q may
# stand on one pair alone, which has none
FLATTEST = 1e-2
# after a rise of the dual objective the step is shorter by this for good
SHORTER = 0.7


class MarginDescent:
    """Dual-accelerated margin descent (Ji, Srebro, Telgarsky 2021, in a K-class form); two products with x a step.

    With q the softmax of -m over all pairs and D = -sum q z the gradient of log sum exp(-m):

        G <- t / (t + 1) (G + D),    W <- W - step (G + D)

    In the dual this is Nesterov's acceleration of mirror descent on 1/2 ||sum q z||^2. Differs from their
    form, whose step is 1 / max ||z||^2, by two things: the step is 1 / the largest eigenvalue of the covariance of z
    under q, which is the curvature where W is, and t starts anew where the dual objective rises.

    Args:
        x: (N, D), its bias feature in it.
        labels: (N,).
    """

    def __init__(self, x: Tensor, labels: Tensor) -> None:
        self.x = x
        self.own = labels[:, None]
        self.steps = self.since_restart = 0
        self.length = torch.inf
        self.rate = self.shortened = 1.0
        self.momentum = self.probe = torch.zeros(0)
        self.steepest = 2 * float(x.square().sum(1).max()) or 1.0

    def step(self, weights: Tensor) -> Tensor:
        """The next weights, (K, D)."""
        logits = self.x @ weights.T
        exponent = (logits - logits.gather(1, self.own)).scatter(1, self.own, -torch.inf)
        q = torch.softmax(exponent.flatten(), 0).view_as(exponent)
        gradient = self._sum(q)
        length = float(gradient.norm())
        if self.steps == 0:
            self.probe, self.momentum = gradient, torch.zeros_like(gradient)
        elif length > self.length:
            self.momentum, self.since_restart = torch.zeros_like(gradient), 0
            self.shortened *= SHORTER
        if self.steps % REFRESH == 0:
            self.rate = 1 / self._curvature(q, gradient)
        self.length = length
        self.steps += 1
        self.since_restart += 1
        t = self.since_restart
        self.momentum = t / (t + 1) * (self.momentum + gradient)
        return weights - self.shortened * self.rate * (self.momentum + gradient)

    def _sum(self, coefficients: Tensor) -> Tensor:
        """-sum of coefficient z over all pairs, (N, K) -> (K, D)."""
        return coefficients.scatter(1, self.own, -coefficients.sum(1, keepdim=True)).T @ self.x

    def _curvature(self, q: Tensor, gradient: Tensor) -> float:
        """The largest eigenvalue of the covariance of z under q, by power iterations from the last one's vector."""
        found = 0.0
        for _ in range(POWER_STEPS):
            vector = self.probe / self.probe.norm().clamp_min(1e-300)
            along = self.x @ vector.T
            along = along.gather(1, self.own) - along
            # cov v = sum q <z, v> z - <mean, v> mean, and the mean of z is -gradient
            product = -self._sum(q * along) + (q * along).sum() * gradient
            found = float(product.norm())
            self.probe = product
        if not found > 0:
            # all weight on one pair, or a probe that the samples are orthogonal to
            self.probe = gradient
            return self.steepest
        return max(found, FLATTEST * self.steepest)


def accelerated_start(problem: Problem, work: Work) -> Tensor:
    """Weights (K, D) of the scaled problem after `START_STEPS` from 0, their smallest margin 1 if it is positive."""
    weights = torch.zeros(problem.num_classes, problem.x.shape[1], dtype=problem.x.dtype, device=problem.x.device)
    descent = MarginDescent(problem.x, problem.labels)
    # two products a step, and those of the power iterations
    each = 4 * problem.x.numel() * problem.num_classes * (1 + POWER_STEPS / REFRESH)
    for _ in range(work.times(each, START_STEPS)):
        weights = descent.step(weights)
        work.count(each)
    smallest = float(problem.margins(weights).min())
    return weights / smallest if smallest > 0 else weights


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
