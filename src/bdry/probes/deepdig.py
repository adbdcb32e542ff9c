"""Probe `deepdig`: borderline instances between pairs of classes, and what is measured on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.measuring import measuring
from ..core.moment import Moment
from ..data import Dataset
from ..deepdig import Pair, Recipe, Trained, both_directions, checked_pairs, train_pairs
from ..models import Classifier
from .deepdig_found import Found
from .deepdig_work import Work
from .probe import PROBES, Context, Measured

TRAINED = ("deepdig", "real_ae1")


@PROBES.register("deepdig")
@dataclass(frozen=True)
class DeepDigProbe:
    """Generates borderline instances of every pair in both directions by several methods, and characterises them.

    pairs: of classes, or "all". The first `num_detailed` of them get further alphas, further grids and pictures. The
    other settings are those of `deepdig.Recipe`, of the generators, of `deepdig.oscillation` and of the SVM.

    Source: docs/papers/karimi2020.md.
    """

    context: Context
    pairs: str | Sequence[Sequence[int]]
    num_train: int | None
    num_test: int | None
    seed: int
    methods: Sequence[str]
    autoencoder: str | None
    widths: Sequence[int] | None
    alphas: Sequence[float]
    class_term: str
    reconstruction: str
    steps: int
    batch_size: int
    lr: float
    lr_decay: float
    lr_decay_every: int
    dropout: float
    precision: str
    log_every: int
    patience: int | None
    min_collapse_ratio: float
    max_restarts: int
    stack: int | None
    beta: float
    max_attempts: int
    estimator: str
    clipped: bool
    grid: int
    partners: int
    max_starts: int | None
    gamma: float
    svm_penalty: float
    svm_max_iter: int
    num_detailed: int
    further_alphas: Sequence[float]
    further_grids: Sequence[int]
    num_saved: int | None

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables ae, ae_training, generation, bisection, idc, edc and runtime; arrays borderline and pictures.

        Raises `UsageError` for a pair of classes that the data set has not.
        """
        directions = self.directions(dataset.num_classes)
        closely = directions[: 2 * self.num_detailed]
        found = Found()
        with measuring(classifier):
            work = Work(self, classifier, dataset, found)
            trained = self._trained(work, directions, self.recipe())
            for there, back in zip(trained, trained, strict=True):
                work.characterise(there, back, closely=there[0] in closely)
            if "deepdig" in self.methods and closely:
                for alpha in self.further_alphas:
                    other = replace(self.recipe(), alphas=(alpha, alpha))
                    for pair, networks in self._trained(work, closely, other):
                        work.generate_again(pair, networks, alpha)
        return found.measured(moment, len(directions))

    def directions(self, num_classes: int) -> list[Pair]:
        """The ordered pairs, each followed by its reverse."""
        if isinstance(self.pairs, str):
            unordered = [list(pair) for pair in itertools.combinations(range(num_classes), 2)]
        else:
            unordered = [list(pair) for pair in self.pairs]
        return both_directions(checked_pairs(unordered, num_classes))

    def recipe(self) -> Recipe:
        """How autoencoders are trained."""
        options: dict[str, Any] = {} if self.widths is None else {"widths": list(self.widths)}
        first, second = self.alphas
        return Recipe(
            autoencoder=self.autoencoder,
            options=options,
            alphas=(first, second),
            class_term=self.class_term,
            reconstruction=self.reconstruction,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            lr_decay=self.lr_decay,
            lr_decay_every=self.lr_decay_every,
            dropout=self.dropout,
            precision=self.precision,
            log_every=self.log_every,
            patience=self.patience,
            min_collapse_ratio=self.min_collapse_ratio,
            max_restarts=self.max_restarts,
            stack=self.stack,
        )

    def _trained(self, work: Work, directions: Sequence[Pair], recipe: Recipe) -> Iterator[tuple[Pair, Trained | None]]:
        """Each ordered pair with its autoencoders; with None where no method needs any."""
        if not set(TRAINED) & set(self.methods):
            yield from ((pair, None) for pair in directions)
            return
        networks = train_pairs(
            work.classifier, work.train.pixels, work.train.labels, directions, recipe, seed=self.seed
        )
        for pair in directions:
            with work.found.timed("autoencoders"):
                trained = next(networks)
            work.describe_training(trained, recipe)
            yield pair, trained
