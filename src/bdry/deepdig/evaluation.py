"""What the classifier says of images: evaluated as many at a time as suits the device."""

from __future__ import annotations

import torch
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
    return torch.cat([classifier.features(part) for part in x.split(evaluation_batch(x))])


def correct_rows(classifier: Classifier, x: Tensor, label: int) -> Tensor:
    """Positions of the images that are predicted `label`, (n,) int64.

    Args:
        classifier: images -> logits.
        x: (N, C, H, W) in [0, 1].
        label: a class.
    """
    return (predict(classifier, x) == label).nonzero()[:, 0]
