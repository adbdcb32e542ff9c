"""Features of a moment with the SVMs on them: what rows of the probe `svm` are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...core.seeds import generator
from ...data import Split
from ...lastlayer import (
    LastLayer,
    SvmSolution,
    Views,
    bias_rows,
    convergence_rows,
    grid_points,
    hard_margin_svm,
    hard_one_vs_rest,
    last_layer,
    paper_comparator,
    rescaled,
    soft_margin_svm,
)
from ...lastlayer.layer import pair_margins
from ...models import Classifier
from .settings import SvmSettings

HARD = {"S1": "penalised", "S2": "none", "S3": "free"}


@torch.no_grad()
def features_of(classifier: Classifier, split: Split, batch_size: int) -> Tensor:
    """What the last layer sees of a split, (N, d) in float64, on the CPU unless a GPU has that type."""
    found = torch.cat([classifier.features(batch.pixels()).flatten(1) for batch in split.batches(batch_size)])
    return (found if found.is_cuda else found.cpu()).double()


def layer_of(classifier: Classifier, like: Tensor) -> LastLayer:
    """The classifier's last layer, on the device of `like`."""
    return last_layer(classifier.head.weight.to(like.device), classifier.head.bias.to(like.device))


def views_of(classifier: Classifier, train: Split, test: Split, settings: SvmSettings) -> Views:
    """Features of both splits, and points among them at which labels are compared: test images', but in the plane."""
    features, others = (features_of(classifier, split, settings.batch_size) for split in (train, test))
    labels, other_labels = (split.labels.to(features.device) for split in (train, test))
    spread = (features, labels) if features.shape[1] == 2 else (others, other_labels)
    draw = generator(settings.grid_seed, "svm grid")
    return Views(features, labels, others, other_labels, grid_points(*spread, draw, settings.num_grid_points))


@dataclass(frozen=True)
class Scene:
    """Views and the SVMs on their training features; rescaled: whether these are over their rms norm."""

    views: Views
    solutions: Mapping[str, SvmSolution]
    rescaled: bool = False

    @property
    def s1(self) -> SvmSolution:
        """The limit of gradient descent."""
        return self.solutions["S1"]

    def convergence(self, layer: LastLayer) -> list[dict[str, Any]]:
        """Rows of `svm_convergence` but for what the layer is."""
        views = self.views
        constant = (views.features == views.features[0]).all(0)
        about = {
            "rescaled": self.rescaled,
            "num_samples": len(views.features),
            "num_classes": len(layer.weights),
            "feature_dim": views.features.shape[1],
            "dead_features": int(constant.sum()),
        }
        rows = convergence_rows(layer, self.solutions.values(), views)
        pairs = zip(rows, self.solutions.values(), strict=True)
        return [row | about | self._of_the_svm(solution) for row, solution in pairs]

    def _of_the_svm(self, solution: SvmSolution) -> dict[str, Any]:
        found = {"svm_upper": solution.upper, "converged": solution.converged}
        if not bool(solution.layer.joint().any()):
            return found | {"svm_test_acc": math.nan, "svm_norm": math.nan}
        views = self.views
        assert views.test_features is not None
        assert views.test_labels is not None
        right = solution.layer.predict(views.test_features).eq(views.test_labels)
        return found | {
            "svm_test_acc": float(right.double().mean()),
            "svm_norm": float(solution.layer.joint().norm()),
        }

    def bias(self, layer: LastLayer) -> list[dict[str, Any]]:
        """Rows of `svm_bias` but for what the layer is; none without S3, or where the classes are not separable."""
        s3 = self.solutions.get("S3")
        if s3 is None or not (s3.separable and self.s1.separable):
            return []
        rows = bias_rows(layer, self.s1, s3, self.views.features, self.views.labels)
        return [{"rescaled": self.rescaled, **row} for row in rows]


def solved(views: Views, layer: LastLayer, settings: SvmSettings) -> Scene:
    """The SVMs `settings.variants` of the training features, in that order, S1 before S3.

    Where `layer` separates the samples, the SVM exists and is solved for as long as it takes; else for
    `settings.seconds`.
    """
    found: dict[str, SvmSolution] = {}
    for name in sorted(settings.variants):
        found[name] = _solution(views, layer, name, settings, found.get("S1"))
    return Scene(views, {name: found[name] for name in settings.variants})


def _solution(views: Views, layer: LastLayer, name: str, settings: SvmSettings, s1: SvmSolution | None) -> SvmSolution:
    features, labels, classes = views.features, views.labels, len(layer.weights)
    if name == "paper":
        return paper_comparator(features, labels, classes)
    if name == "soft":
        return soft_margin_svm(features, labels, classes)
    own = replace(layer, biases=torch.zeros_like(layer.biases)) if name == "S2" else layer
    separates = float(pair_margins(own.logits(features), labels).min()) > 0
    allowed = math.inf if separates else settings.seconds
    if name == "hard_ovr":
        return hard_one_vs_rest(features, labels, num_classes=classes, seconds=settings.seconds)
    if name == "S3" and s1 is not None and not s1.separable:
        # the same classes are separable with either bias
        return replace(s1, variant="S3", upper=math.nan, gap=math.nan, seconds=0.0)
    return hard_margin_svm(features, labels, HARD[name], num_classes=classes, gap=settings.gap, seconds=allowed)


def scaled(views: Views, layer: LastLayer) -> tuple[Views, LastLayer]:
    """Both over the rms norm of the training features; the layer gives the same logits."""
    features, scaled_layer = rescaled(views.features, layer)
    rms = views.features.square().sum(1).mean().sqrt()
    assert views.test_features is not None
    assert views.grid is not None
    return Views(features, views.labels, views.test_features / rms, views.test_labels, views.grid / rms), scaled_layer
