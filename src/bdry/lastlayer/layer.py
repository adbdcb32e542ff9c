"""The linear last layer as a value, its margins, its loss and angles between layers, in float64.

With features h_n in R^d, labels y_n and s_n = W h_n + b, the pair margin is m_nk = s_n[y_n] - s_n[k] for k != y_n, and
the loss of a sample is log(1 + sum_k exp(-m_nk)). Softmax ignores W -> W + 1 v^T: comparisons take the mean row out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# the largest feature is at least this, and at most one over it: beyond, squares and sums of squares leave float64
SMALLEST = 1e-140


@dataclass(frozen=True)
class LastLayer:
    """weights: (K, d). biases: (K,), zeros where the layer has none. float64."""

    weights: Tensor
    biases: Tensor

    def centred(self) -> LastLayer:
        """The same classifier without the mean row, which no margin depends on."""
        return LastLayer(self.weights - self.weights.mean(0), self.biases - self.biases.mean())

    def joint(self) -> Tensor:
        """[W b], (K, d + 1)."""
        return torch.cat([self.weights, self.biases[:, None]], 1)

    def logits(self, features: Tensor) -> Tensor:
        """(N, d) -> (N, K)."""
        return features.double() @ self.weights.T + self.biases

    def predict(self, features: Tensor) -> Tensor:
        """(N, d) -> (N,) int64."""
        return self.logits(features).argmax(1)


def last_layer(weights: Tensor, biases: Tensor | None = None) -> LastLayer:
    """The layer in float64, detached; without `biases` they are zeros.

    Args:
        weights: (K, d).
        biases: (K,); None: zeros.

    Raises:
        ValueError: the shapes do not belong together, or a number is not finite.
    """
    weights = weights.detach().double()
    biases = torch.zeros_like(weights[:, 0]) if biases is None else biases.detach().double()
    if weights.ndim != 2 or biases.shape != weights.shape[:1]:
        raise ValueError(f"a last layer of weights {tuple(weights.shape)} and biases {tuple(biases.shape)}")
    if not (bool(weights.isfinite().all()) and bool(biases.isfinite().all())):
        raise ValueError("the last layer holds numbers that are not finite")
    return LastLayer(weights, biases)


def pair_margins(logits: Tensor, labels: Tensor) -> Tensor:
    """m_nk of all pairs, (N, K); inf where k = y_n, so that minima are over the pairs."""
    own = labels[:, None]
    return (logits.gather(1, own) - logits).scatter(1, own, torch.inf)


def log_sample_losses(margins: Tensor) -> Tensor:
    """log of each sample's loss, (N, K) pair margins -> (N,), exact far below the smallest float64."""
    exponent = (-margins).logsumexp(1)
    # log(1 + e) is e to rounding where e < 1e-17
    return torch.where(exponent < -40, exponent, torch.nn.functional.softplus(exponent).clamp_min(1e-300).log())


def checked(features: Tensor, labels: Tensor, num_classes: int | None) -> tuple[Tensor, Tensor, int]:
    """Features in float64, labels in int64 and the number of classes, by default the largest label + 1.

    Raises:
        ValueError: no tensors, shapes that do not belong together, features that are not finite or so large or small
            that their squares are not, labels that are no whole numbers or out of range, one class.
    """
    if not (isinstance(features, Tensor) and isinstance(labels, Tensor)):
        raise ValueError("features and labels must be torch.Tensor, as torch.as_tensor gives")
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(f"features {tuple(features.shape)} and labels {tuple(labels.shape)}: want (N, d) and (N,)")
    if features.numel() == 0:
        raise ValueError("no features")
    features, given, labels = features.detach().double(), labels, labels.long()
    if not bool(features.isfinite().all()):
        raise ValueError("the features hold numbers that are not finite")
    largest = float(features.abs().max())
    if largest and not SMALLEST <= largest <= 1 / SMALLEST:
        raise ValueError(f"the largest feature is {largest:g}; it must be from {SMALLEST:g} to {1 / SMALLEST:g}, or 0")
    if not bool((given == labels).all()):
        raise ValueError("the labels must be whole numbers")
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} with {classes} classes")
    if len(labels.unique()) < 2:
        raise ValueError("a boundary needs samples of two classes; all have one label")
    return features, labels, classes


def angle_degrees(a: Tensor, b: Tensor) -> float:
    """The angle between two tensors of one shape; exact for small angles, nan where one of them is 0.

    Args:
        a: any shape, of all numbers.
        b: the same shape.
    """
    if not (float(a.norm()) > 0 and float(b.norm()) > 0):
        return math.nan
    a, b = a / a.norm(), b / b.norm()
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))
