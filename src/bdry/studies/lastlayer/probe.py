"""Probe `svm`: the last layer against the linear SVMs on its features, as it is or trained on to its limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from ...core.measuring import measuring
from ...core.moment import Moment
from ...core.seeds import generator
from ...data import Dataset
from ...errors import UsageError
from ...lastlayer import (
    Checkpoint,
    LastLayer,
    TrainingRecipe,
    Views,
    continue_last_layer,
    fresh_last_layer,
    rate_fit,
    retrain_last_layer,
)
from ...models import Classifier
from ..measured import PROBES, Context, Measured
from .maps import feature_map, input_map, layer_arrays
from .scene import Scene, layer_of, scaled, solved, views_of
from .settings import StageSettings, SvmSettings

# stage -> method of `lastlayer.METHODS`
METHODS = {"last_only": "momentum", "last_only_loss_scaled": "loss_scaled", "accelerated": "accelerated"}


@PROBES.register("svm")
@dataclass(frozen=True)
class SvmProbe:
    """Angles, margins, agreement and overlaps between the last layer and each SVM; where the boundary stands.

    A stage, or study="bias", trains the last layer on frozen features, which the command asks for alone.
    recipe: how the run was trained; the bias experiment needs it.

    Source: arXiv 1808.05385; docs/papers/li2018.md.
    """

    context: Context
    settings: SvmSettings
    recipe: TrainingRecipe | None = None

    @property
    def stage(self) -> StageSettings:
        """Of the command; a probe in training has the whole network alone."""
        return self.settings if isinstance(self.settings, StageSettings) else StageSettings()

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `svm_convergence`, `svm_bias`, `svm_timings` and, of stages, `svm_rate_fit`; arrays `svm` of the last
        layer reached.

        Raises:
            UsageError: the features are not finite, or all training images have one label.
        """
        settings = self.settings
        chosen = [
            split.balanced(len(split) if size is None else size, self.context.data_seed)
            for size, split in ((settings.num_train, dataset.train), (settings.num_test, dataset.test))
        ]
        about = {"step": moment.step, "epoch": moment.epoch}
        found = Rows(about)
        with measuring(classifier):
            views = views_of(classifier, chosen[0], chosen[1], settings)
            try:
                layer = layer_of(classifier, views.features)
                scene = solved(views, layer, settings)
            except ValueError as error:
                raise UsageError(f"step {moment.step}: {error}") from None
            found.add_timings(scene)
            reached = self._measure_layers(found, scene, layer)
            arrays = layer_arrays(scene, reached) | feature_map(scene, reached, settings.map_resolution)
            arrays |= input_map(classifier, chosen[0], scene, settings.map_resolution, settings.batch_size)
        return Measured(found.tables(), {"svm": arrays})

    def _measure_layers(self, found: Rows, scene: Scene, layer: LastLayer) -> LastLayer:
        """Adds the rows of all layers; the one to show."""
        whole = Trained("whole", 0, layer, math.nan, fresh=False)
        if self.stage.stage == "whole" or not scene.s1.separable:
            found.add(scene, whole)
        if not scene.s1.separable:
            # there is no limit to go to
            return layer
        if self.stage.study == "bias":
            self._bias_experiment(found, scene, layer)
        if self.stage.stage == "whole":
            return layer
        return found.add_stage(scene, self._stage(scene, layer))

    def _stage(self, scene: Scene, layer: LastLayer) -> Iterator[Trained]:
        start = fresh_layer(layer, self.stage.seed) if self.stage.fresh else layer
        yield from run_stage(self.stage, scene.views.features, scene.views.labels, start, scene.s1.layer)

    def _bias_experiment(self, found: Rows, scene: Scene, layer: LastLayer) -> None:
        """A fresh last layer trained as the run was and by as many loss-scaled steps, on features as they are and
        rescaled.

        Source: arXiv 1808.05385 and its authors' README; docs/papers/li2018.md.
        """
        assert self.recipe is not None
        over_rms, rescaled_layer = scaled(scene.views, layer)
        rescaled = solved(over_rms, rescaled_layer, self.settings)
        rescaled = Scene(rescaled.views, rescaled.solutions, rescaled=True)
        found.add_timings(rescaled)
        found.add(rescaled, Trained("whole", 0, rescaled_layer, math.nan, fresh=False))
        for each in (scene, rescaled):
            views: Views = each.views
            start = fresh_layer(layer, self.stage.seed)
            loss_scaled = StageSettings(
                stage="last_only_loss_scaled",
                fresh=True,
                steps=self.recipe.steps(len(views.features)),
                num_checkpoints=self.stage.num_checkpoints,
            )
            arms = (
                run_as_trained(self.stage, views.features, views.labels, start, self.recipe),
                run_stage(loss_scaled, views.features, views.labels, start),
            )
            for arm in arms:
                found.add_stage(each, arm)


class Rows:
    """Rows of the three tables, as layers are measured."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("svm_convergence", "svm_bias", "svm_rate_fit", "svm_timings")
        }

    def add(self, scene: Scene, trained: Trained) -> dict[str, Any]:
        """The layer against every SVM; the row of S1."""
        stage = {"stage": trained.stage, "fresh": trained.fresh, "stage_step": trained.step}
        rows = scene.convergence(trained.layer)
        self.rows["svm_convergence"] += [self.about | stage | {"lr_sum": trained.lr_sum} | row for row in rows]
        self.rows["svm_bias"] += [self.about | stage | row for row in scene.bias(trained.layer)]
        return next(row for row in rows if row["variant"] == "S1")

    def add_timings(self, scene: Scene) -> None:
        """What solving each SVM took."""
        self.rows["svm_timings"] += [self.about | row for row in scene.timings()]

    def add_stage(self, scene: Scene, layers: Iterable[Trained]) -> LastLayer:
        """All checkpoints of a stage and its rates; the last layer of them."""
        found = [(trained, self.add(scene, trained)) for trained in layers]
        last = found[-1][0]
        after = [(trained, row) for trained, row in found if trained.step > 0]
        if len(after) >= 4:
            fit = rate_fit(
                [trained.step for trained, _ in after],
                [row["w_norm_centred"] for _, row in after],
                [row["angle_full_deg"] for _, row in after],
                [row["log_n_times_loss"] for _, row in after],
            )
            about = {"stage": last.stage, "fresh": last.fresh, "rescaled": scene.rescaled, "variant": "S1"}
            norm = {"num_checkpoints": len(after), "svm_norm": float(scene.s1.layer.joint().norm())}
            self.rows["svm_rate_fit"].append(self.about | about | norm | fit)
        return last.layer

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables that have rows."""
        return {name: pd.DataFrame(rows) for name, rows in self.rows.items() if rows}


@dataclass(frozen=True)
class Trained:
    """The last layer after `step` steps of a stage; step 0 is where it began. lr_sum: nan where there is no rate."""

    stage: str
    step: int
    layer: LastLayer
    lr_sum: float
    fresh: bool


def run_stage(
    settings: StageSettings, features: Tensor, labels: Tensor, layer: LastLayer, target: LastLayer | None = None
) -> Iterator[Trained]:
    """Full-batch steps from `layer`, log-spaced checkpoints; ends at `stop_degrees` from the target."""
    plain = settings.stage == "last_only" and settings.momentum == 0
    checkpoints = continue_last_layer(
        features,
        labels,
        layer,
        "gradient_descent" if plain else METHODS[settings.stage],
        steps=settings.steps,
        lr=settings.lr,
        momentum=settings.momentum,
        checkpoints=settings.num_checkpoints,
        target=target,
        stop_degrees=settings.stop_degrees,
    )
    yield from _trained(settings.stage, checkpoints, fresh=settings.fresh)


def run_as_trained(
    settings: StageSettings, features: Tensor, labels: Tensor, layer: LastLayer, recipe: TrainingRecipe
) -> Iterator[Trained]:
    """A fresh `layer` trained as the whole run was."""
    checkpoints = retrain_last_layer(
        features, labels, layer, recipe, seed=settings.seed, checkpoints=settings.num_checkpoints
    )
    yield from _trained("last_only", checkpoints, fresh=True)


def fresh_layer(like: LastLayer, seed: int) -> LastLayer:
    """The authors' re-initialisation of a layer of this shape."""
    num_classes, num_features = like.weights.shape
    fresh = fresh_last_layer(num_classes, num_features, generator(seed, "fresh last layer"))
    return LastLayer(fresh.weights.to(like.weights.device), fresh.biases.to(like.weights.device))


def _trained(stage: str, checkpoints: Iterator[Checkpoint], *, fresh: bool) -> Iterator[Trained]:
    for point in checkpoints:
        yield Trained(stage, point.step, point.layer, point.lr_sum, fresh)
