"""The K-class hard-margin SVM with all pairwise constraints (docs/papers/li2018.md, The limit), scaled for solving.

    min 1/2 sum_k ||w_k||^2   s.t.   <w_{y_n} - w_k, x_n> >= 1   for all n and all k != y_n

Its dual has one multiplier alpha >= 0 a pair; W = sum alpha_nk z_nk with z_nk = (e_{y_n} - e_k) x_n^T. Three variants:

    penalised (S1)  x = (h, 1): the bias is one more weight, the limit of gradient descent
    none      (S2)  x = h
    free      (S3)  the bias is outside the norm: sum alpha_nk (e_{y_n} - e_k) = 0 in the dual

A class without samples keeps its row: softmax has its logit too, and every sample's margin to it must be 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..errors import UsageError, did_you_mean
from .layer import LastLayer, pair_margins

VARIANTS = {"penalised": "S1", "none": "S2", "free": "S3"}
# S3 is solved as a sequence of penalised problems (method of multipliers), this constant being their bias feature
FREE_CONSTANT = 1.0


@dataclass(frozen=True)
class Problem:
    """x: (N, D), the features over their rms norm, and the bias feature where there is one. labels: (N,)."""

    x: Tensor
    labels: Tensor
    num_classes: int
    bias: str
    scale: float

    def margins(self, weights: Tensor, offsets: Tensor) -> Tensor:
        """Pair margins of (K, D) weights and (K,) offsets, (N, K), inf at k = y_n."""
        return pair_margins(self.x @ weights.T + offsets, self.labels)

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

    def layer(self, weights: Tensor, offsets: Tensor) -> LastLayer:
        """Weights and offsets of the scaled problem as a layer on the features themselves."""
        if self.bias == "none":
            return LastLayer(weights / self.scale, torch.zeros_like(offsets))
        constant = FREE_CONSTANT if self.bias == "free" else 1 / self.scale
        return LastLayer(weights[:, :-1] / self.scale, weights[:, -1] * constant + offsets)

    def norm(self, weights: Tensor) -> Tensor:
        """The norm that the variant minimises, of weights of the scaled problem."""
        return (weights[:, :-1] if self.bias == "free" else weights).norm()


def variant(bias: str) -> str:
    """S1, S2 or S3; a `UsageError` with the nearest name where `bias` is none of the three."""
    if bias not in VARIANTS:
        raise UsageError(f"bias={bias}: no such variant{did_you_mean(bias, VARIANTS)} (choices: {', '.join(VARIANTS)})")
    return VARIANTS[bias]


def problem_of(features: Tensor, labels: Tensor, num_classes: int, bias: str) -> Problem:
    """The problem over one global rms norm, which changes no solution but the numbers that solvers meet.

    Never per feature: that would be another geometry and another limit.
    """
    variant(bias)
    scale = float(features.square().sum(1).mean().sqrt()) or 1.0
    x = features / scale
    if bias != "none":
        constant = FREE_CONSTANT if bias == "free" else 1 / scale
        x = torch.cat([x, torch.full_like(x[:, :1], constant)], 1)
    return Problem(x, labels, num_classes, bias, scale)
