"""Trainings that take more than a day: how this is known before the first step, and what would be quicker."""

from __future__ import annotations

import time

from ..core.measuring import measuring
from ..data import Dataset, Split
from ..models import Classifier
from ..settings import PGD, TrainConfig
from ..training import loss_and_accuracy

# what is proposed
MANY_IMAGES, FEW_STEPS = 5000, 3
# a forward and a backward pass, in forward ones
BOTH = 3
# so few passes of single images take no network a day
FEW_PASSES = 500_000
LOOKS, LOOK_IMAGES = 2, 64


def seconds_at_least(settings: TrainConfig, classifier: Classifier, dataset: Dataset, evaluated: int) -> float:
    """What training and its evaluations take on this machine, by the time of a look at few images; 0 for little work.

    Probes come on top. Nothing is drawn at random, and the classifier stays as it is.

    Args:
        settings: of the run.
        classifier: to be trained.
        dataset: to train and evaluate on.
        evaluated: number of images that each evaluation looks at.
    """
    number = passes(settings, len(dataset.train), evaluated)
    if number < FEW_PASSES:
        return 0.0
    few = dataset.train[slice(0, LOOK_IMAGES)]
    with measuring(classifier):
        # the first look also warms the device up
        seconds = min(_look(classifier, few) for _ in range(LOOKS))
    return number * seconds / len(few)


def _look(classifier: Classifier, few: Split) -> float:
    begun = time.perf_counter()
    loss_and_accuracy(classifier, few, len(few))
    return time.perf_counter() - begun


def passes(settings: TrainConfig, num_train: int, evaluated: int) -> int:
    """Forward passes of single images that training and its evaluations take; a backward pass counts as two."""
    adv, given, epochs = settings.adv, settings.evaluation, settings.training.epochs
    attack = adv.steps * adv.restarts if isinstance(adv, PGD) else 0
    robust = BOTH * given.robust_images * given.steps * given.restarts
    return epochs * num_train * BOTH * (attack + 1) + (epochs + 1) * (evaluated + robust)


def quicker(settings: TrainConfig, dataset: Dataset) -> list[str]:
    """What would make this training quicker, as one would type it."""
    found = []
    if dataset.train.labels.device.type == "cpu":
        found.append("a GPU (device=cuda)")
    if settings.arch.name != "airbench" and dataset.image_shape[1:] == (32, 32):
        found.append("arch=airbench, as recipe=cifar10_fast has it")
    if len(dataset.train) > MANY_IMAGES:
        found.append(f"dataset.num_train={MANY_IMAGES}")
    if isinstance(settings.adv, PGD) and settings.adv.steps > FEW_STEPS:
        found.append(f"adv.steps={FEW_STEPS}")
    return [*found, f"training.epochs={max(1, settings.training.epochs // 4)}"]
