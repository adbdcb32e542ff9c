"""The work of the probe `deepdig` on one classifier: generators, bisection, IDC and EDC, pair by pair."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from ...core.seeds import generator
from ...data import Dataset, Split
from ...deepdig import (
    GENERATORS,
    Borderline,
    Features,
    Oscillation,
    Pair,
    PairImages,
    Recipe,
    Trained,
    boundary_divergence,
    class_scores,
    common_sources,
    features_of,
    oscillation,
    own_plane,
    pass_through,
    predict,
    principal_embedding,
    profiles,
    separability,
    spread,
    summary,
    svm_plane,
)
from ...models import Classifier
from .collected import Collected, ae_row, bisection_rows, borderline_arrays, idc_pair_row, idc_row
from .settings import DeepDigSettings

# of which distances to the source images can be compared: those that start from each image
COMPARED = ("deepdig", "real_ae1", "margin_bisect")
# how much of a pair the pictures show
NUM_SHOWN, NUM_PROFILES, NUM_EMBEDDED = 6, 6, 300
WITHOUT_TRAINING = math.nan


class Images:
    """A split's images by class: pixels in [0, 1], (N, C, H, W), labels, index; suffix of their tables' names."""

    def __init__(self, split: Split, size: int | None, seed: int, suffix: str) -> None:
        self.suffix = suffix
        chosen = split.balanced(len(split) if size is None else size, seed)
        self.pixels, self.labels, self.index = chosen.pixels(), chosen.labels, chosen.index

    def of(self, label: int) -> Tensor:
        """The images of one class."""
        return self.pixels[self.labels == label]


class Characterising:
    """One classifier, in the state that `core.measuring` makes, and what is found of it."""

    def __init__(
        self, settings: DeepDigSettings, data_seed: int, classifier: Classifier, dataset: Dataset, found: Collected
    ) -> None:
        self.settings, self.classifier, self.found = settings, classifier, found
        self.train = Images(dataset.train, settings.num_train, data_seed, "")
        self.test = Images(dataset.test, settings.num_test, data_seed, "_test")
        self.sources = [{"train": self.train, "test": self.test}[name] for name in settings.instances]

    def score(self) -> None:
        """Rows of `scores` and `confusion`: how good the classifier is on both splits, class by class."""
        for split, images in (("train", self.train), ("test", self.test)):
            num_classes = self.classifier.head.out_features
            found = class_scores(images.labels, predict(self.classifier, images.pixels), num_classes)
            means = {"f1_macro": found.f1_macro, "f1_weighted": found.f1_weighted, "f1_micro": found.f1_micro}
            for label in range(num_classes):
                self.found.add(
                    "scores",
                    split=split,
                    label=label,
                    num_images=int(found.num_images[label]),
                    accuracy=float(found.accuracy[label]),
                    precision=float(found.precision[label]),
                    f1=float(found.f1[label]),
                    overall=found.overall,
                    **means,
                )
                for predicted, count in enumerate(found.confusion[label].tolist()):
                    self.found.add("confusion", split=split, label=label, predicted=predicted, num_images=count)

    def describe_training(self, trained: Trained, recipe: Recipe) -> None:
        """Rows of `ae` and `ae_training`: of both stages, with what they make of the test images."""
        (s, t), x = trained.pair, self.test.of(trained.pair[0])
        classes = [(s, t), (t, s)]
        for stage in (trained.first, trained.second):
            if stage is None:
                continue
            before, after = classes[stage.stage - 1]
            num_test, num_kept = len(x), 0
            if stage.autoencoder is not None and num_test:
                passed = pass_through(self.classifier, stage.autoencoder, x, before, after)
                x, num_kept = passed.output[passed.kept], int(passed.kept.sum())
            self.found.add("ae", **ae_row(stage, recipe, num_test, num_kept))
            self.found.count("autoencoders", (stage.log.steps[-1] + 1 if stage.log.steps else 0) * recipe.batch_size)
            rows = zip(stage.log.steps, stage.log.reconstruction, stage.log.class_term, strict=True)
            for step, reconstruction, class_loss in rows:
                self.found.add(
                    "ae_training",
                    source=s,
                    target=t,
                    alpha=recipe.alphas[0],
                    stage=stage.stage,
                    ae_step=step,
                    reconstruction=reconstruction,
                    class_loss=class_loss,
                )

    def characterise(
        self, there: tuple[Pair, Trained | None], back: tuple[Pair, Trained | None], *, closely: bool
    ) -> None:
        """All that is measured of two classes, in both directions."""
        deepdig: list[Borderline] = []
        for images in self.sources:
            both: list[list[Oscillation]] = []
            for pair, trained in (there, back):
                results = [self._generated(name, pair, trained, images) for name in self.settings.methods]
                compared = common_sources([result for result in results if result.method in COMPARED])
                both.append([])
                for result in results:
                    self._describe(result, compared, images)
                    both[-1].append(
                        self._oscillate(result, self._alpha(result.method), self.settings.grid, images.suffix)
                    )
                if images is self.train:
                    deepdig += [result for result in results if result.method == "deepdig"]
                    if closely:
                        self._show_strips(pair, results)
            for name, one, other in zip(self.settings.methods, *both, strict=True):
                self.found.add(
                    "idc_pairs", **idc_pair_row(there[0], name, self._alpha(name), images.suffix, one, other)
                )
        if deepdig:
            self._separate(deepdig, closely=closely)
        for result in deepdig if closely else []:
            for grid in self.settings.further_grids:
                self._oscillate(result, self._alpha("deepdig"), grid, "")
            self._show_profiles(result)

    def generate_again(self, pair: Pair, trained: Trained | None, alpha: float) -> None:
        """Generation and IDC of deepdig with autoencoders of another alpha."""
        result = self._generated("deepdig", pair, trained, self.train)
        self._add_generation(result, alpha, common_sources([result]), "")
        self._oscillate(result, alpha, self.settings.grid, "")

    def _alpha(self, method: str) -> float:
        return self.settings.alphas[0] if method in ("deepdig", "real_ae1") else WITHOUT_TRAINING

    def _generated(self, name: str, pair: Pair, trained: Trained | None, of: Images) -> Borderline:
        generate = GENERATORS[name]
        if name == "margin_bisect":
            generate = functools.partial(generate, estimator=self.settings.estimator, clipped=self.settings.clipped)
        images = PairImages(pair, of.of(pair[0]), of.of(pair[1]), trained)
        with self.found.timed(name):
            result = generate(
                self.classifier,
                images,
                seed=self.settings.seed,
                beta=self.settings.beta,
                max_attempts=self.settings.max_attempts,
            )
        self.found.count(name, result.forwards)
        return result

    def _describe(self, result: Borderline, compared: Tensor, images: Images) -> None:
        """Rows of `generation` and `bisection`, and the instances themselves."""
        s, t = result.pair
        self._add_generation(result, self._alpha(result.method), compared, images.suffix)
        for row in bisection_rows(result) if images is self.train else ():
            self.found.add("bisection", source=s, target=t, method=result.method, **row)
        index = images.index[images.labels == s][result.source]
        features = features_of(self.classifier, result.found.point)
        arrays = borderline_arrays(result, index, features, self.settings.num_saved)
        self.found.borderline.setdefault(f"borderline{images.suffix}", []).append(arrays)

    def _add_generation(self, result: Borderline, alpha: float, compared: Tensor, suffix: str) -> None:
        s, t = result.pair
        draw = generator(self.settings.seed, "divergence", s, t)
        divergence, random = boundary_divergence(result.points, draw)
        common = torch.isin(result.source, compared.to(result.source.device)) & result.found.success
        common_distance = result.distance[common].double()
        self.found.add(
            f"generation{suffix}",
            source=s,
            target=t,
            method=result.method,
            alpha=alpha,
            status=result.status,
            **summary(result),
            spread=spread(result.points),
            divergence=divergence,
            divergence_random=random,
            num_common=len(common_distance),
            distance_common=float(common_distance.quantile(0.5)) if len(common_distance) else math.nan,
        )

    def _oscillate(self, result: Borderline, alpha: float, grid: int, suffix: str) -> Oscillation:
        with self.found.timed("idc"):
            found = oscillation(
                self.classifier,
                result.points,
                result.pair,
                seed=self.settings.seed,
                grid=grid,
                partners=self.settings.num_partners,
                max_starts=self.settings.max_starts,
                gamma=self.settings.gamma,
            )
        self.found.count("idc", found.num_segments * grid)
        s, t = result.pair
        self.found.add(f"idc{suffix}", source=s, target=t, method=result.method, alpha=alpha, **idc_row(found))
        return found

    def _separate(self, both: list[Borderline], *, closely: bool) -> None:
        """Rows of `edc` for the borderline instances of both directions, and the picture of the feature space."""
        s, t = both[0].pair
        with self.found.timed("edc"):
            splits = self._splits(both)
            limits: dict[str, Any] = {"penalty": self.settings.svm_penalty, "max_iter": self.settings.svm_max_iter}
            for row in separability(splits, self.classifier.head, (s, t), **limits):
                self.found.add("edc", source=s, target=t, **row)
        self.found.count("edc", sum(len(splits[name].values) for name in ("train", "test", "borderline")))
        embedding = principal_embedding(splits["train"].values)
        if not closely or embedding is None:
            return
        for split, features in splits.items():
            if split in ("train", "test", "borderline_s", "borderline_t"):
                shown = Features(*(_thinned(part) for part in (features.values, features.is_target)))
                points = embedding.project(shown.values)
                self.found.picture("embedding {pair} {split}", (s, t), points, split=split)
                self.found.picture("embedding {pair} {split} is_target", (s, t), shown.is_target, split=split)
        planes = {"svm": svm_plane(splits["train"], **limits), "own": own_plane(self.classifier.head, (s, t))}
        for kind, plane in planes.items():
            if plane is not None:
                self.found.picture(f"embedding {{pair}} {kind}", (s, t), embedding.line(plane))

    def _splits(self, both: list[Borderline]) -> dict[str, Features]:
        s, t = both[0].pair
        parts = {
            "train": [self.train.of(s), self.train.of(t)],
            "test": [self.test.of(s), self.test.of(t)],
            "borderline": [both[0].points, both[1].points],
            "borderline_s": [both[0].points, both[1].points[:0]],
            "borderline_t": [both[0].points[:0], both[1].points],
        }
        return {
            name: Features(
                torch.cat([features_of(self.classifier, part) for part in two]),
                torch.tensor([False, True]).repeat_interleave(torch.tensor([len(part) for part in two])),
            )
            for name, two in parts.items()
        }

    def _show_strips(self, pair: Pair, results: list[Borderline]) -> None:
        """The first images for which as many methods as possible succeeded, and what each method made of them."""
        x = self.train.of(pair[0])
        successes = torch.zeros(len(x), device=x.device)
        for result in results:
            successes[result.source[result.found.success]] += 1
        shown = successes.argsort(descending=True, stable=True)[:NUM_SHOWN]
        self.found.picture("strips {pair} image", pair, x[shown])
        for result in results:
            position = torch.full((len(x),), -1, device=x.device)
            position[result.source] = torch.arange(len(result.source), device=x.device)
            rows = position[shown]
            there = (rows >= 0).cpu().numpy()
            found = result.found
            for what, values in (
                ("on_target", result.on_target),
                ("on_source", result.on_source),
                ("point", found.point),
                ("p", torch.stack([found.p_source, found.p_target], 1)),
                ("distance", result.distance),
                ("success", found.success),
            ):
                kept = values[rows[rows >= 0]]
                self.found.picture(f"strips {{pair}} {{method}} {what}", pair, kept, method=result.method)
            self.found.picture("strips {pair} {method} rows", pair, there.nonzero()[0], method=result.method)
            distances = result.distance[found.success]
            self.found.picture("distances {pair} {method}", pair, distances, method=result.method)

    def _show_profiles(self, result: Borderline) -> None:
        found = profiles(self.classifier, result.points, result.pair, seed=self.settings.seed, count=NUM_PROFILES)
        for what in ("label", "p_source", "p_target", "length"):
            self.found.picture(f"profiles {{pair}} {what}", result.pair, getattr(found, what))


def _thinned(values: Tensor) -> Tensor:
    """At most `NUM_EMBEDDED` rows, evenly taken."""
    n = len(values)
    return values if n <= NUM_EMBEDDED else values[torch.arange(NUM_EMBEDDED) * n // NUM_EMBEDDED]
