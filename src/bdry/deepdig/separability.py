"""EDC: how borderline instances lie about the linear SVM that separates the features of two classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """{e: <normal, e> + offset = 0} in feature space; the unit normal points from s to t.

    offset: feature units.
    """

    normal: Array
    offset: float

    def distance(self, features: Array) -> Array:
        """Signed distances, (N, F) -> (N,): above 0 on the side of t."""
        return features @ self.normal + self.offset


@dataclass(frozen=True)
class Features:
    """Features of images of the classes s and t: (N, F), and which of them are of t, (N,) bool.

    Borderline instances count as their source class.
    """

    values: Tensor
    is_target: Tensor


def svm_plane(features: Features, *, penalty: float = 1.0, max_iter: int = 10_000) -> Plane | None:
    """The linear SVM (l2, squared hinge, no scaling) of the features; None where one of the classes has none.

    Args:
        features: of both classes.
        penalty: weight of the hinge loss (scikit-learn's C).
        max_iter: iterations of the solver at most.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    x, y = _array(features.values), features.is_target.cpu().numpy()
    if len(np.unique(y)) < 2:
        return None
    with warnings.catch_warnings():
        # what max_iter leaves open is far below the planes' difference
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm = LinearSVC(C=penalty, max_iter=max_iter, dual="auto", random_state=0).fit(x, y)
    return _plane(svm.coef_[0].astype(np.float64), float(svm.intercept_[0]))


def own_plane(head: nn.Linear, pair: tuple[int, int]) -> Plane | None:
    """Where the classifier's last layer has s and t equal; None where it cannot tell them apart.

    Args:
        head: the classifier's last layer.
        pair: (s, t).
    """
    s, t = pair
    weight = _array(head.weight.detach())
    bias = _array(head.bias.detach()) if head.bias is not None else np.zeros(len(weight))
    return _plane(weight[t] - weight[s], float(bias[t] - bias[s]))


def separability(
    splits: Mapping[str, Features],
    head: nn.Linear,
    pair: tuple[int, int],
    *,
    penalty: float = 1.0,
    max_iter: int = 10_000,
) -> list[dict[str, float | str]]:
    """Rows of table `edc`: for the SVM's plane and the classifier's own, each of `splits`, nan for a mean over nothing.

    Args:
        splits: name -> features; the SVM is fitted on `train`.
        head: the classifier's last layer.
        pair: (s, t).
        penalty: weight of the hinge loss (scikit-learn's C).
        max_iter: iterations of the solver at most.

    Columns: plane (svm, own), split, n; acc and err = 1 - acc; D_all = mean |d| and N_all = D / (1 + D); D_err and
    N_err the same over the misclassified only; d_mean, d_max, of the signed distance and of |d|; cos_to_own_plane
    between the normals; offset, the plane's signed distance from the origin. EDC1 is N_err or N_all, EDC2 is err or
    acc, of the borderline split: the paper's text is not at hand to tell.

    Source: docs/papers/karimi2020.md.
    """
    own = own_plane(head, pair)
    planes = {"svm": svm_plane(splits["train"], penalty=penalty, max_iter=max_iter), "own": own}
    return [
        {"plane": name, "split": split, **_numbers(plane, features, own)}
        for name, plane in planes.items()
        for split, features in splits.items()
    ]


def _numbers(plane: Plane | None, features: Features, own: Plane | None) -> dict[str, float]:
    n = len(features.values)
    is_target = features.is_target.cpu().numpy()
    numbers = dict.fromkeys(
        ("acc", "err", "D_all", "N_all", "D_err", "N_err", "d_mean", "d_max", "cos_to_own_plane", "offset"), math.nan
    )
    if plane is not None:
        numbers["offset"] = plane.offset
        if own is not None:
            numbers["cos_to_own_plane"] = float(plane.normal @ own.normal)
        if n:
            d = plane.distance(_array(features.values))
            wrong = (d > 0) != is_target
            numbers["acc"], numbers["err"] = 1 - float(wrong.mean()), float(wrong.mean())
            numbers["d_mean"], numbers["d_max"] = float(d.mean()), float(np.abs(d).max())
            for name, chosen in (("all", d), ("err", d[wrong])):
                if len(chosen):
                    mean = float(np.abs(chosen).mean())
                    numbers[f"D_{name}"], numbers[f"N_{name}"] = mean, mean / (1 + mean)
    return {"n": n, **numbers}


def _plane(normal: Array, offset: float) -> Plane | None:
    length = float(np.linalg.norm(normal))
    return Plane(normal / length, offset / length) if length > 0 else None


def _array(values: Tensor) -> Array:
    return values.detach().cpu().numpy().astype(np.float64)
