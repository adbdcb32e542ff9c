"""Probe `svm`: the last layer against the linear SVMs on its features, as it is or trained on to its limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..core.measuring import measuring
from ..core.moment import Moment
from ..data import Dataset
from ..errors import UsageError
from ..lastlayer import LastLayer, Views, rate_fit
from ..models import Classifier
from .probe import PROBES, Context, Measured
from .svm_maps import feature_map, input_map, layer_arrays
from .svm_scene import Scene, layer_of, scaled, solved, views_of
from .svm_stages import Recipe, Stage, Trained, fresh_layer, retrain


@PROBES.register("svm")
@dataclass(frozen=True)
class SvmProbe:
    """Angles, margins, agreement and overlaps between the last layer and each SVM; where the boundary stands.

    Settings are those of `schema.probe_svm`. A stage, or study="bias", trains the last layer on frozen features.
    recipe: how the run was trained; the bias experiment needs it.

    Source: docs/papers/li2018.md.
    """

    context: Context
    num_train: int | None
    num_test: int | None
    variants: Sequence[str]
    gap: float
    seconds: float
    grid_points: int
    grid_seed: int
    map_resolution: int
    batch_size: int
    stage: str = "whole"
    study: str | None = None
    fresh: bool = False
    steps: int = 3000
    checkpoints: int = 12
    stop_degrees: float = 1.0
    lr: float | None = None
    momentum: float = 0.9
    seed: int = 0
    recipe: Recipe | None = None

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `svm_convergence`, `svm_bias` and, of stages, `svm_rate_fit`; arrays `svm` of the last layer reached.

        Raises:
            UsageError: the features are not finite, or all training images have one label.
        """
        chosen = [
            split.balanced(len(split) if size is None else size, self.context.data_seed)
            for size, split in ((self.num_train, dataset.train), (self.num_test, dataset.test))
        ]
        about = {"step": moment.step, "epoch": moment.epoch}
        found = Rows(about)
        with measuring(classifier):
            views = views_of(classifier, chosen[0], chosen[1], self.grid_points, self.grid_seed, self.batch_size)
            try:
                layer = layer_of(classifier, views.features)
                scene = solved(views, layer, self.variants, self.gap, self.seconds)
            except UsageError as error:
                raise UsageError(f"step {moment.step}: {error}") from None
            reached = self._measure_layers(found, scene, layer)
            arrays = layer_arrays(scene, reached) | feature_map(scene, reached, self.map_resolution)
            arrays |= input_map(classifier, chosen[0], scene, self.map_resolution, self.batch_size)
        return Measured(found.tables(), {"svm": arrays})

    def _measure_layers(self, found: Rows, scene: Scene, layer: LastLayer) -> LastLayer:
        """Adds the rows of all layers; the one to show."""
        whole = Trained("whole", 0, layer, math.nan, fresh=False)
        if self.stage == "whole" or not scene.s1.separable:
            found.add(scene, whole)
        if not scene.s1.separable:
            # there is no limit to go to
            return layer
        if self.study == "bias":
            self._bias_experiment(found, scene, layer)
        if self.stage == "whole":
            return layer
        return found.add_stage(scene, self._stage(scene, layer))

    def _stage(self, scene: Scene, layer: LastLayer) -> Iterator[Trained]:
        stage = Stage(self.stage, self.steps, self.checkpoints, self.lr, self.momentum, self.fresh)
        start = fresh_layer(layer, self.seed) if self.fresh else layer
        yield from stage.run(scene.views.features, scene.views.labels, start, scene.s1.layer, self.stop_degrees)

    def _bias_experiment(self, found: Rows, scene: Scene, layer: LastLayer) -> None:
        """A fresh last layer trained as the run was and by as many loss-scaled steps, on features as they are and
        rescaled.

        Source: docs/papers/li2018.md, The bias experiment.
        """
        assert self.recipe is not None
        over_rms, rescaled_layer = scaled(scene.views, layer)
        rescaled = solved(over_rms, rescaled_layer, self.variants, self.gap, self.seconds)
        rescaled = Scene(rescaled.views, rescaled.solutions, rescaled=True)
        found.add(rescaled, Trained("whole", 0, rescaled_layer, math.nan, fresh=False))
        for each in (scene, rescaled):
            views: Views = each.views
            start = fresh_layer(layer, self.seed)
            arms = (
                retrain(views.features, views.labels, start, self.recipe, self.seed, self.checkpoints),
                Stage(
                    "last_only_loss_scaled", self.recipe.steps(len(views.features)), self.checkpoints, fresh=True
                ).run(views.features, views.labels, start),
            )
            for arm in arms:
                found.add_stage(each, arm)


class Rows:
    """Rows of the three tables, as layers are measured."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.rows: dict[str, list[dict[str, Any]]] = {"svm_convergence": [], "svm_bias": [], "svm_rate_fit": []}

    def add(self, scene: Scene, trained: Trained) -> dict[str, Any]:
        """The layer against every SVM; the row of S1."""
        stage = {"stage": trained.stage, "fresh": trained.fresh, "stage_step": trained.step}
        rows = scene.convergence(trained.layer)
        self.rows["svm_convergence"] += [self.about | stage | {"lr_sum": trained.lr_sum} | row for row in rows]
        self.rows["svm_bias"] += [self.about | stage | row for row in scene.bias(trained.layer)]
        return next(row for row in rows if row["variant"] == "S1")

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
