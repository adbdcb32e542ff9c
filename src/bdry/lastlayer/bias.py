"""Where the boundary stands between two classes, and the pieces of the paper's bias experiment made fair.

Source: arXiv 1808.05385 and its code's README; docs/papers/li2018.md.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .layer import LastLayer
from .svm import SvmSolution


def bias_position(layer: LastLayer, features: Tensor, labels: Tensor, i: int, j: int) -> tuple[float, float]:
    """beta_ij and the offset of the line between the classes i and j from the origin, in units of the features.

    Along u = (w_i - w_j) / norm, beta is 0 where the boundary touches the farthest sample of j, 1 at the nearest of i,
    and 0.5 midway between. nan where w_i = w_j or a class has no samples.

    Args:
        layer: of d features and K classes.
        features: (N, d).
        labels: (N,) int64.
        i: a class.
        j: another class.
    """
    difference = layer.weights[i] - layer.weights[j]
    norm = float(difference.norm())
    if not norm > 0 or not bool((labels == i).any()) or not bool((labels == j).any()):
        return math.nan, math.nan
    along = features.double() @ (difference / norm)
    offset = -float(layer.biases[i] - layer.biases[j]) / norm
    highest, lowest = float(along[labels == j].max()), float(along[labels == i].min())
    return (offset - highest) / (lowest - highest) if lowest != highest else math.nan, offset


def bias_rows(
    layer: LastLayer, s1: SvmSolution, s3: SvmSolution, features: Tensor, labels: Tensor
) -> list[dict[str, Any]]:
    """Rows of `svm_bias`: beta of the layer and of both SVMs, for pairs of classes that are active on both sides.

    A pair (i, j) is active where S3 has a support pair in both directions; for two classes it always is. bias_diff is
    the layer's offset minus S3's.

    Args:
        layer: of d features and K classes.
        s1: the SVM of penalised bias on these features.
        s3: that of free bias.
        features: (N, d).
        labels: (N,) int64.
    """
    active = {(int(labels[sample]), other) for sample, other in s3.pairs.tolist()}
    rows = []
    for i in range(len(layer.weights)):
        for j in range(i + 1, len(layer.weights)):
            if (i, j) in active and (j, i) in active:
                beta, offset = bias_position(layer, features, labels, i, j)
                beta_s3, offset_s3 = bias_position(s3.layer, features, labels, i, j)
                rows.append(
                    {
                        "class_i": i,
                        "class_j": j,
                        "beta_nn": beta,
                        "beta_s1": bias_position(s1.layer, features, labels, i, j)[0],
                        "beta_s3": beta_s3,
                        "status_s1": s1.status,
                        "status_s3": s3.status,
                        "offset_nn": offset,
                        "offset_s3": offset_s3,
                        "bias_diff": offset - offset_s3,
                    }
                )
    return rows


def fresh_last_layer(num_classes: int, num_features: int, generator: torch.Generator) -> LastLayer:
    """The authors' re-initialisation: weights normal with std .05 cut at two of them, biases .01.

    Args:
        num_classes: K.
        num_features: d.
        generator: a generator of the CPU.
    """
    weights = torch.empty(num_classes, num_features, dtype=torch.float64)
    torch.nn.init.trunc_normal_(weights, std=0.05, a=-0.1, b=0.1, generator=generator)
    return LastLayer(weights, torch.full((num_classes,), 0.01, dtype=torch.float64))


def rescaled(features: Tensor, layer: LastLayer) -> tuple[Tensor, LastLayer]:
    """Features over their global rms norm, and the layer that gives the same logits on them.

    The penalised-bias SVM of the rescaled features is another one: the bias is cheaper or dearer beside W.

    Args:
        features: (N, d), not all 0.
        layer: of d features.
    """
    rms = features.double().square().sum(1).mean().sqrt()
    return features.double() / rms, LastLayer(layer.weights * rms, layer.biases)
