"""The K-class hard-margin SVM with all pairwise constraints, in coordinates that solvers like.

    min 1/2 sum_k ||w_k||^2   s.t.   <w_{y_n} - w_k, x_n> >= 1   for all n and all k != y_n

Its dual has one multiplier alpha >= 0 a pair; W = sum alpha_nk z_nk with z_nk = (e_{y_n} - e_k) x_n^T. Three variants:

    penalised (S1)  x = (h, 1): the bias is one more weight, the limit of gradient descent
    none      (S2)  x = h
    free      (S3)  the bias is outside the norm: sum alpha_nk (e_{y_n} - e_k) = 0 in the dual

A class without samples keeps its row: softmax has its logit too, and every sample's margin to it must be 1.

Source: arXiv 1808.05385 (Li, Ding, Gao) for S1 as the limit of training; Crammer and Singer 2001 for the constraints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .layer import LastLayer, pair_margins

VARIANTS = {"penalised": "S1", "none": "S2", "free": "S3"}
# a mean of this size beside the spread is taken out of the last column's scale
LARGE_MEAN = 3.0


@dataclass(frozen=True)
class Problem:
    """Features in coordinates of their own, in which the weights (K, D) have the squared norm |W|^2 + penalty |u|^2.

    x: (N, D). The last column is what all samples have in common: the constant 1 of a free bias (penalty 0), or the
    features' mean direction, to which an orthogonal map turns it for S1 and S2. Where the mean is large beside the
    spread that column is divided by its size, and the penalty is 1 / size^2. u: the last column of the weights.
    scale: a margin / norm here, times this, is that on the features themselves.
    mean, turned: how to go back; see `layer`.
    """

    x: Tensor
    labels: Tensor
    num_classes: int
    bias: str
    scale: float
    penalty: float
    mean: Tensor
    turned: Tensor

    def margins(self, weights: Tensor) -> Tensor:
        """Pair margins of (K, D) weights, (N, K), inf at k = y_n."""
        return pair_margins(self.x @ weights.T, self.labels)

    def norm(self, weights: Tensor) -> float:
        """The norm that the variant minimises, of (K, D) weights."""
        return math.sqrt(float(weights[:, :-1].square().sum()) + self.penalty * float(weights[:, -1].square().sum()))

    def weights(self, samples: Tensor, others: Tensor, alpha: Tensor) -> Tensor:
        """sum of alpha_nk z_nk over the pairs (samples, others), (K, D)."""
        coefficients = torch.zeros(len(self.x), self.num_classes, dtype=self.x.dtype, device=self.x.device)
        coefficients.index_put_((samples, others), -alpha, accumulate=True)
        coefficients.index_put_((samples, self.labels[samples]), alpha, accumulate=True)
        used = coefficients.any(1).nonzero()[:, 0]
        return coefficients[used].T @ self.x[used]

    def gram(self, samples: Tensor, others: Tensor) -> Tensor:
        """<z, z'> of P pairs, (P, P)."""
        signs = self.signs(samples, others)
        rows, place = samples.unique(return_inverse=True)
        inner = self.x[rows] @ self.x[rows].T
        return inner[place][:, place].mul_(signs @ signs.T)

    def signs(self, samples: Tensor, others: Tensor) -> Tensor:
        """e_y - e_k of P pairs, (P, K)."""
        own = one_hot(self.labels[samples], self.num_classes)
        return (own - one_hot(others, self.num_classes)).to(self.x.dtype)

    def rows(self, samples: Tensor, others: Tensor) -> Tensor:
        """z of P pairs, flattened, (P, K D)."""
        return (self.signs(samples, others)[:, :, None] * self.x[samples][:, None, :]).flatten(1)

    def layer(self, weights: Tensor) -> LastLayer:
        """(K, D) weights as a layer on the features themselves; margins are the same."""
        parts = weights / self.scale
        if self.bias == "free":
            return LastLayer(parts[:, :-1], weights[:, -1] - parts[:, :-1] @ self.mean)
        joint = self._turn(torch.cat([parts[:, :-1], parts[:, -1:] * math.sqrt(self.penalty)], 1))
        if self.bias == "none":
            return LastLayer(joint, torch.zeros_like(joint[:, 0]))
        return LastLayer(joint[:, :-1], joint[:, -1])

    def of_layer(self, layer: LastLayer) -> Tensor:
        """The weights (K, D) of a layer on the features, whose biases S2 leaves out; undoes `layer`."""
        if self.bias == "free":
            bias = layer.biases + layer.weights @ self.mean
            return torch.cat([layer.weights * self.scale, bias[:, None]], 1)
        turned = self._turn(layer.weights if self.bias == "none" else layer.joint()) * self.scale
        return torch.cat([turned[:, :-1], turned[:, -1:] / math.sqrt(self.penalty)], 1)

    def _turn(self, rows: Tensor) -> Tensor:
        """The orthogonal map, its own inverse, that takes the mean direction to the last axis."""
        return reflected(rows, self.turned)


def variant(bias: str) -> str:
    """S1, S2 or S3.

    Raises:
        ValueError: `bias` is none of penalised, none, free.
    """
    if bias not in VARIANTS:
        raise ValueError(f"bias must be one of {', '.join(VARIANTS)}, not {bias!r}")
    return VARIANTS[bias]


def reflected(rows: Tensor, normal: Tensor) -> Tensor:
    """(N, D) rows mirrored at the plane with this normal, (D,), of length 1 or 0."""
    return rows - 2 * (rows @ normal)[:, None] * normal


def problem_of(features: Tensor, labels: Tensor, num_classes: int, bias: str) -> Problem:
    """The problem about the features' mean and over one spread, which changes no solution but the solver's numbers.

    Never per feature: that would be another geometry and another limit.
    """
    variant(bias)
    centre = features.mean(0)
    spread = features - centre
    if bias == "free":
        scale = _rms(spread) or 1.0
        x = torch.cat([spread / scale, torch.ones_like(spread[:, :1])], 1)
        return Problem(x, labels, num_classes, bias, scale, 0.0, centre, torch.zeros_like(centre))
    if bias == "penalised":
        centre = torch.cat([centre, torch.ones_like(centre[:1])])
        spread = torch.cat([spread, torch.zeros_like(spread[:, :1])], 1)
    length = float(centre.norm())
    # the mirror that takes centre to the last axis, on the side that needs no cancellation
    side = -1.0 if float(centre[-1]) > 0 else 1.0
    normal = centre.clone()
    normal[-1] -= side * length
    normal = normal / (float(normal.norm()) or 1.0)
    turned = reflected(spread, normal)
    scale = _rms(turned) or length or 1.0
    turned[:, -1] += side * length
    turned = turned / scale
    size = float(turned[:, -1].square().mean().sqrt())
    size = size if size > LARGE_MEAN else 1.0
    turned[:, -1] /= size
    return Problem(turned, labels, num_classes, bias, scale, 1 / size**2, centre, normal)


def plain_problem(features: Tensor, labels: Tensor, num_classes: int, bias: str) -> Problem:
    """The problem over the features' rms norm as they are, all weights counting alike; the bias feature of S3 is 1."""
    variant(bias)
    scale = _rms(features) or 1.0
    x = features / scale
    if bias != "none":
        x = torch.cat([x, torch.full_like(x[:, :1], 1.0 if bias == "free" else 1 / scale)], 1)
    none = torch.zeros_like(x[0])
    return Problem(x, labels, num_classes, bias, scale, 0.0 if bias == "free" else 1.0, none[: features.shape[1]], none)


def _rms(rows: Tensor) -> float:
    return float(rows.square().sum(1).mean().sqrt())
