"""Probe `deepdig`: borderline instances between pairs of classes, and what is measured on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from ...core.measuring import measuring
from ...core.moment import Moment
from ...data import Dataset
from ...deepdig import Pair, Recipe, Trained, both_directions, checked_pairs, train_pairs
from ...errors import UsageError
from ...models import Classifier
from ..measured import PROBES, Context, Measured
from .characterise import Characterising
from .collected import Collected
from .settings import DeepDigSettings

TRAINED = ("deepdig", "real_ae1")


@contextmanager
def _in_a_line() -> Iterator[None]:
    """A user's line for pairs or an autoencoder that do not fit the data."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@PROBES.register("deepdig")
@dataclass(frozen=True)
class DeepDigProbe:
    """Generates borderline instances of every pair in both directions by several methods, and characterises them.

    The first `num_detailed` pairs get further alphas, further grids and pictures.

    Source: arXiv 1912.11460; docs/papers/karimi2020.md.
    """

    context: Context
    settings: DeepDigSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables ae, ae_training, generation, bisection, idc, idc_pairs, edc, scores, confusion and runtime.

        Arrays borderline and pictures. What is made of test images has tables and arrays of its own: generation_test,
        idc_test, borderline_test.

        Raises `UsageError` for a pair of classes that the data set has not.
        """
        directions = self.directions(dataset.num_classes)
        closely = directions[: 2 * self.settings.num_detailed]
        found = Collected()
        with measuring(classifier):
            work = Characterising(self.settings, self.context.data_seed, classifier, dataset, found)
            work.score()
            recipe = self.recipe()
            with _in_a_line():
                recipe.layers(dataset.image_shape)
            alphas = self.settings.further_alphas if "deepdig" in self.settings.methods and closely else []
            told = _Told(self.context, len(directions) + len(alphas) * len(closely), recipe.steps)
            trained = self._trained(work, directions, recipe, told)
            for there, back in zip(trained, trained, strict=True):
                self.context.say("instances between the classes {} and {}".format(*there[0]))
                work.characterise(there, back, closely=there[0] in closely)
            for alpha in alphas:
                other = replace(self.recipe(), alphas=(alpha, alpha))
                for pair, networks in self._trained(work, closely, other, told):
                    work.generate_again(pair, networks, alpha)
        return found.measured(moment, len(directions))

    def directions(self, num_classes: int) -> list[Pair]:
        """The ordered pairs, each followed by its reverse."""
        if isinstance(self.settings.pairs, str):
            unordered = [list(pair) for pair in itertools.combinations(range(num_classes), 2)]
        else:
            unordered = [list(pair) for pair in self.settings.pairs]
        with _in_a_line():
            return both_directions(checked_pairs(unordered, num_classes))

    def recipe(self) -> Recipe:
        """How autoencoders are trained."""
        settings = self.settings
        same = {known.name: getattr(settings, known.name) for known in fields(Recipe) if hasattr(settings, known.name)}
        first, second = settings.alphas
        options = {} if settings.widths is None else {"widths": list(settings.widths)}
        return Recipe(**(same | {"alphas": (first, second), "options": options}))

    def _trained(
        self, work: Characterising, directions: Sequence[Pair], recipe: Recipe, told: _Told
    ) -> Iterator[tuple[Pair, Trained | None]]:
        """Each ordered pair with its autoencoders; with None where no method needs any."""
        if not set(TRAINED) & set(self.settings.methods):
            yield from ((pair, None) for pair in directions)
            return
        networks = train_pairs(
            work.classifier,
            work.train.pixels,
            work.train.labels,
            directions,
            recipe,
            seed=self.settings.seed,
            told=told.step,
        )
        for pair in directions:
            with work.found.timed("autoencoders"):
                trained = next(networks)
            told.trained += 1
            work.describe_training(trained, recipe)
            yield pair, trained


class _Told:
    """Tells which autoencoders are being trained, and the share of all their steps that is made.

    trained: ordered pairs done, of `total`, with every alpha.
    """

    def __init__(self, context: Context, total: int, steps: int) -> None:
        self.context, self.total, self.steps, self.trained = context, total, steps, 0

    def step(self, pairs: int, stage: int, step: int) -> None:
        """Stage, 1 or 2, and step of `pairs` ordered pairs that are trained side by side."""
        done = self.trained + pairs * (stage - 1 + step / self.steps) / 2
        which = f"{pairs} pairs" if pairs > 1 else "a pair"
        self.context.say(f"autoencoders of {which}, stage {stage}, step {step} of {self.steps}")
        self.context.share(min(done / self.total, 1.0))
