"""What the classifier says of images, evaluated as many at a time as suits the device, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.measuring import logits_in_batches
from ..models import Classifier

# on a CPU the activations of so few stay in the caches: 8192 of MNIST's through the fcn take nine times as long
CPU_BATCH, DEVICE_BATCH = 512, 8192


def evaluation_batch(x: Tensor) -> int:
    """The number that suits the device of `x`."""
    return CPU_BATCH if x.device.type == "cpu" else DEVICE_BATCH


def predict(classifier: Classifier, x: Tensor) -> Tensor:
    """The predicted class of each image, (N,), for none too.

    Args:
        classifier: gives logits.
        x: (N, C, H, W) in [0, 1]; N may be 0.
    """
    if len(x) == 0:
        return torch.zeros(0, dtype=torch.int64, device=x.device)
    return logits_in_batches(classifier, x, evaluation_batch(x)).argmax(1)


@torch.no_grad()
def features_of(classifier: Classifier, x: Tensor) -> Tensor:
    """What the last layer sees of each image, (N, ...) -> (N, F), for none too.

    Args:
        classifier: in the state that `core.measuring` makes.
        x: (N, C, H, W) in [0, 1]; N may be 0.
    """
    if len(x) == 0:
        return x.new_zeros((0, classifier.head.in_features))
    # copies: some modules write into their input
    return torch.cat([classifier.features(part.clone()) for part in x.split(evaluation_batch(x))])


def correct_rows(classifier: Classifier, x: Tensor, label: int) -> Tensor:
    """Positions of the images that are predicted `label`, (n,) int64.

    Args:
        classifier: images -> logits.
        x: (N, C, H, W) in [0, 1].
        label: a class.
    """
    return (predict(classifier, x) == label).nonzero()[:, 0]


@dataclass(frozen=True)
class ClassScores:
    """The scores of predictions for N images of K classes.

    confusion: (K, K) int64, rows by true and columns by predicted class.
    num_images: (K,) int64, images of each class.
    accuracy: (K,), share of each class's images that are predicted as it, which is its recall; nan without images.
    precision: (K,), share of the images predicted as a class that are of it; 0 where none is.
    f1: (K,), harmonic mean of both; 0 where no image of a class is predicted right.
    overall: share of all images that are predicted right.
    f1_macro, f1_weighted, f1_micro: means of F1 over classes, weighted by their images, and over images.
    """

    confusion: NDArray[np.int64]
    num_images: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    overall: float
    f1_macro: float
    f1_weighted: float
    f1_micro: float


def class_scores(labels: Tensor, predicted: Tensor, num_classes: int) -> ClassScores:
    """Scikit-learn's scores of predictions.

    Args:
        labels: (N,) int64, true classes, N at least 1.
        predicted: (N,) int64.
        num_classes: K.

    Source: karimi2020, whose code prints accuracy and F1 of each classifier (docs/papers/karimi2020.md).
    """
    from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

    if labels.shape != predicted.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels of shape {tuple(labels.shape)}, predicted {tuple(predicted.shape)}: must be one (N,)")
    truth, found, classes = labels.cpu().numpy(), predicted.cpu().numpy(), np.arange(num_classes)
    precision, recall, f1, num_images = precision_recall_fscore_support(truth, found, labels=classes, zero_division=0)
    means = {
        average: float(f1_score(truth, found, labels=classes, average=average, zero_division=0))
        for average in ("macro", "weighted", "micro")
    }
    return ClassScores(
        confusion=confusion_matrix(truth, found, labels=classes).astype(np.int64),
        num_images=num_images.astype(np.int64),
        accuracy=np.where(num_images > 0, recall, np.nan),
        precision=precision,
        f1=f1,
        overall=float((truth == found).mean()),
        f1_macro=means["macro"],
        f1_weighted=means["weighted"],
        f1_micro=means["micro"],
    )
