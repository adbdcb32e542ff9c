"""Dual-accelerated margin descent (Ji, Srebro, Telgarsky 2021, in the K-class form of docs/papers/li2018.md).

With q the softmax of -m over all pairs and D = -sum q z the gradient of log sum exp(-m):

    G <- t / (t + 1) (G + D),    W <- W - step (G + D)

In the dual this is Nesterov's acceleration of mirror descent on 1/2 ||sum q z||^2. Differs from that
form, whose step is 1 / max ||z||^2, by two things: the step is 1 / the largest eigenvalue of the covariance of z under
q, which is the curvature where W is, and t starts anew where the dual objective rises.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .problem import Problem

START_STEPS = 300
# the curvature is looked at again after so many steps, by so many power iterations, each at the cost of a step
REFRESH, POWER_STEPS = 25, 4
# least curvature, as a share of the largest that there can be: where the start does not separate the samples, q may
# stand on one pair alone, which has none
FLATTEST = 1e-2
# after a rise of the dual objective the step is shorter by this for good
SHORTER = 0.7


class MarginDescent:
    """The method's state on x, (N, D), its bias feature in it, with labels (N,); two products with x a step."""

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


def accelerated_start(problem: Problem, steps: int = START_STEPS) -> Tensor:
    """Weights (K, D) of the scaled problem after `steps` steps from 0, their smallest margin 1 if it is positive."""
    weights = torch.zeros(problem.num_classes, problem.x.shape[1], dtype=problem.x.dtype, device=problem.x.device)
    descent = MarginDescent(problem.x, problem.labels)
    for _ in range(steps):
        weights = descent.step(weights)
    smallest = float(problem.margins(weights, torch.zeros_like(weights[:, 0])).min())
    return weights / smallest if smallest > 0 else weights
