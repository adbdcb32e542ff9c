"""Between which ordered pairs of classes DeepDIG's autoencoders are trained, and how: the authors' settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import did_you_mean
from ..names import AUTOENCODERS
from .autoencoders import ImageShape, Layer, usual_autoencoder

Pair = tuple[int, int]
"""The source's class and the target's."""


def both_directions(pairs: Sequence[Sequence[int]]) -> list[Pair]:
    """Each pair (s, t) followed by (t, s), as the paper runs both; none twice.

    Args:
        pairs: (source, target) each.
    """
    return list(dict.fromkeys(direction for s, t in pairs for direction in ((s, t), (t, s))))


def checked_pairs(pairs: Sequence[Sequence[int]], num_classes: int) -> list[Pair]:
    """The pairs as tuples, none twice, in their order.

    Args:
        pairs: (source, target) each.
        num_classes: K; classes are 0 ... K - 1.

    Raises:
        ValueError: there is none, or one is not two different classes.
    """
    if not pairs:
        raise ValueError("pairs=[]: name at least one pair of classes, such as pairs=[[1,2]], or pairs=all")
    for pair in pairs:
        shown = "[" + ",".join(str(label) for label in pair) + "]"
        if len(pair) != 2:
            raise ValueError(f"pairs: {shown} is not a pair; a pair is [source,target]")
        if pair[0] == pair[1]:
            raise ValueError(f"pairs: {shown} is one class twice; a boundary lies between two")
        for label in pair:
            if not 0 <= label < num_classes:
                raise ValueError(f"pairs: {shown}: there is no class {label}, only 0 to {num_classes - 1}")
    return list(dict.fromkeys((pair[0], pair[1]) for pair in pairs))


# the activations of this many bytes stay in a CPU's caches from one layer to the next
CACHE_BYTES = 4 * 2**20
MAX_STACK = 128
# how the two terms of the loss are taken
CLASS_TERMS = ("bce", "ce")
RECONSTRUCTIONS = ("bce", "mse")


@dataclass(frozen=True)
class Recipe:
    """The settings of both stages; the defaults are the authors' (docs/papers/karimi2020.md, from the code).

    autoencoder: a name in `AUTOENCODERS`, None: the authors' for the number of channels; options: its settings.
    alphas: weight of the class term in stages I and II.
    class_term: bce or ce; alpha_ce is about alpha_bce / K.
    reconstruction: bce or mse.
    lr_decay: the rate is multiplied by it every `lr_decay_every` steps.
    dropout: after every ReLU.
    redraw: every batch is drawn anew from all images, as coded, so that batches overlap; else an epoch takes each once.
    precision: fp32, or bf16 for training alone; outputs are always computed in fp32.
    patience: a pair stops after this many logged losses none of which is 1 % below the best; None: never early.
    min_collapse_ratio: below this spread of outputs over spread of inputs a network has collapsed.
    max_restarts: how often it is then trained again, from the next seed.
    stack: pairs trained together; None: as many as stay in a CPU's caches, `MAX_STACK` on other devices.
    """

    autoencoder: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    alphas: tuple[float, float] = (0.8, 0.8)
    class_term: str = "bce"
    reconstruction: str = "bce"
    steps: int = 5000
    batch_size: int = 128
    lr: float = 0.01
    lr_decay: float = 0.95
    lr_decay_every: int = 1000
    dropout: float = 0.0
    redraw: bool = False
    precision: str = "fp32"
    log_every: int = 100
    patience: int | None = None
    min_collapse_ratio: float = 0.1
    max_restarts: int = 3
    stack: int | None = None

    def __post_init__(self) -> None:
        for key, choices in (
            ("class_term", CLASS_TERMS),
            ("reconstruction", RECONSTRUCTIONS),
            ("precision", ("fp32", "bf16")),
        ):
            value = getattr(self, key)
            if value not in choices:
                hint = did_you_mean(value, choices, f"{key}=")
                raise ValueError(f"{key}={value}: no such choice{hint} (choices: {', '.join(choices)})")
        for key in ("steps", "batch_size", "log_every", "lr_decay_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: must be at least 1")

    def layers(self, image_shape: ImageShape) -> list[Layer]:
        """The autoencoder's layers; raises `ValueError` where there is none such, or not for this shape."""
        name = self.autoencoder or usual_autoencoder(image_shape)
        return AUTOENCODERS.bound(name, dict(self.options))(image_shape)

    def stack_size(self, image_bytes: int, device_type: str) -> int:
        """How many pairs to train together on images of so many bytes."""
        if self.stack is not None:
            return self.stack
        if device_type != "cpu":
            return MAX_STACK
        return max(1, CACHE_BYTES // (self.batch_size * image_bytes))

    def learning_rate(self, step: int) -> float:
        """The rate of optimiser step `step`, counted from 0."""
        return self.lr * self.lr_decay ** (step // self.lr_decay_every)
