"""Simulated tables of a study of margins over training, whose truth is known."""

import functools

import numpy as np
import pandas as pd

from bdry.claims import Evidence

from .simulated import codes, crossed

PAPER = "mickisch2020"
SEEDS = tuple(range(7))
NUM_IMAGES, NUM_WRONG = 60, 25
EPOCHS = [0.0, 0.1, 1.0, 4.0, 10.0, 40.0]
# of the final test accuracy: chance until epoch 1, which is the reference moment
LEARNT = [0.1, 0.2, 0.95, 0.97, 1.0, 1.0]
TRAIN = [0.1, 0.2, 0.8, 0.95, 0.99, 1.0]
# how much of the change has come by each moment; what is before the reference, a peak at chance, must not count
COME = [-2.0, 3.0, 0.0, 0.3, 0.6, 1.0]
BETWEEN_SEEDS, BETWEEN_IMAGES, NOISE = 0.06, 0.4, 0.05


@functools.cache
def skeleton(training, study, seeds, images, estimator):
    """What is the same in every draw: the rows with their identity, and number of seed and split, step and image."""
    made = crossed(
        seed=seeds, norm=["l2", "linf"], split=["train", "test"], step=range(len(EPOCHS)), index=range(images)
    )
    about = {"experiment": f"{training}-{study}", "study": study, "dataset": "fashion_mnist", "arch": "lenet"}
    about |= {"training": training, "clipped": False, "estimator": estimator, "success": True}
    frame = pd.DataFrame({**made, **about, "epoch": np.array(EPOCHS)[made["step"]]})
    return frame, codes(made["seed"]), codes(made["split"]), made["step"], made["index"]


def margins(
    rng,
    change=0.0,
    *,
    training="standard",
    study="main",
    scale=1.0,
    wrong=0.3,
    wrong_change=None,
    confidence=0.0,
    seeds=SEEDS,
    images=NUM_IMAGES,
    estimator="deepfool",
    estimators_own=0.0,
    shared=0,
    right=1.0,
):
    """A table `margins`; log margins are of the image, plus a trend of the seed, plus noise.

    change: mean log change from the reference to the last moment; wrong_change: the same of misclassified images, which
    are at `wrong` of the others. confidence, right: how much it follows the margin among misclassified and among
    correct images. shared: seed of images and trends, by which several estimators measure the same networks.
    """
    own = np.random.default_rng(rng.integers(2**32)) if not shared else np.random.default_rng(shared)
    frame, seed, split, step, index = skeleton(training, study, tuple(seeds), images, estimator)
    is_wrong = index >= images - NUM_WRONG
    trend = np.where(is_wrong, change if wrong_change is None else wrong_change, change)
    trend = trend + estimators_own + own.normal(0, BETWEEN_SEEDS, len(seeds))[seed]
    base = (
        np.random.default_rng(1).normal(0, BETWEEN_IMAGES, (2, images))[split, index]
        + np.log(scale)
        + is_wrong * np.log(wrong)
    )
    log = base + np.array(COME)[step] * trend + own.normal(0, NOISE, len(seed))
    follows = np.where(is_wrong, confidence, right)
    z = own.normal(size=len(seed))
    rank = follows * (log - base.mean()) / BETWEEN_IMAGES + (1 - follows) * z
    return frame.assign(correct=~is_wrong, confidence=0.85 + 0.14 * np.tanh(rank), margin=np.exp(log))


def history(training="standard", *, study="main", seeds=SEEDS, final=0.9, train=None, robust=0.1):
    made = crossed(seed=seeds, step=range(len(EPOCHS)))
    step = made["step"]
    return pd.DataFrame(
        {
            **made,
            "experiment": f"{training}-{study}",
            "study": study,
            "dataset": "fashion_mnist",
            "arch": "lenet",
            "training": training,
            "epoch": np.array(EPOCHS)[step],
            "train_accuracy": np.array(train or TRAIN)[step],
            "test_accuracy": final * np.array(LEARNT)[step],
            "robust_accuracy": robust + 0.002 * made["seed"],
            "robust_norm": "linf",
            "robust_eps": 0.1,
        }
    )


CONTROLS = [f"control: {name}" for name in "abc"]


def study(*tables, check=None, **how):
    """Evidence of these tables `margins`, each with the history of its training."""
    pairs = {(one["training"].iloc[0], one["study"].iloc[0]) for one in tables}
    made = {
        "margins": pd.concat(tables, ignore_index=True),
        "history": pd.concat([history(training, study=name, **how) for training, name in sorted(pairs)]),
    }
    return Evidence(made if check is None else made | {"estimator_check": check})
