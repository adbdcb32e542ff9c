"""Probe `detect`: how well the boundary's curvature tells perturbed from natural images, beside the logit margin."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ..core.measuring import measuring
from ..core.moment import Moment
from ..core.norms import per_sample
from ..core.seeds import generator
from ..data import Dataset, Split
from ..errors import UsageError
from ..geometry.boundary_points import FAMILIES, BoundaryPoints
from ..geometry.detection import DetectionScores, boundary_curvature, perturb, sample_curvature
from ..geometry.hessian import port_step
from ..geometry.separation import summarise
from ..geometry.smoothness import in_double, kinks
from ..models import Classifier
from .probe import PROBES, Context, Measured

# where the statistic at the image itself is taken
AT_THE_IMAGE = "image"

INTERVALS = ("auc", "margin_auc", "gain", "recovery_rate", "runner_up_rate", "recovery_gain")
ENDS = (("", "value"), ("_low", "low"), ("_high", "high"))
RATES = ("tpr_at_fpr05", "tpr_at_fpr10", "margin_tpr_at_fpr05", "margin_tpr_at_fpr10", "flat_rate")
NOTHING = {name: float("nan") for name in (*(f"{name}{end}" for name in INTERVALS for end, _ in ENDS), *RATES)}


@PROBES.register("detect")
@dataclass(frozen=True)
class DetectProbe:
    """Scores of test images and of their DeepFool perturbations scaled by `alphas`, outside the box.

    The natural images and every alpha are judged along the same random directions. Networks with kinks, ReLU or
    max-pooling, have second differences in place of exact derivatives; `step` asks for them of any network. They
    cancel, hence are taken in float64; exact derivatives are right to 1e-5 in float32, in a third of the time.

    Reference: docs/papers/fawzi2017.md, Detection; Curvature there has the families of boundary points.
    """

    context: Context
    n: int
    alphas: Sequence[float]
    overshoot: float
    statistics: Sequence[str]
    families: Sequence[str]
    directions: Sequence[int]
    step: float | None
    candidates: int | None
    batch_size: int

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `detect_scores` and `detect_summary`."""
        split = dataset.test.balanced(self.n, self.context.data_seed)
        with measuring(classifier):
            tables = self._tables(classifier, split, self._step(classifier, dataset))
        about = {"step": moment.step, "epoch": moment.epoch}
        return Measured({name: rows.assign(**about) for name, rows in tables.items()})

    def _tables(self, classifier: nn.Module, split: Split, step: float | None) -> dict[str, pd.DataFrame]:
        model, x = in_double(classifier), split.pixels().double()
        attack = FAMILIES["deepfool_end"](model, x, self._draw("deepfool_end"), overshoot=self.overshoot)
        # rows without a perturbation are carried along as they are, so that no draw depends on what was found
        images = {0.0: x}
        for alpha in self.alphas:
            perturbed = perturb(x, attack.point, alpha, self.overshoot)
            images[alpha] = torch.where(per_sample(attack.success, x), perturbed, x)
        seen = {alpha: list(self._scores(model, part, step)) for alpha, part in images.items()}
        rows, summaries = [], []
        for number, (family, directions, natural) in enumerate(seen[0.0]):
            about = {
                "statistic": natural.statistic,
                "family": family,
                "num_directions": directions,
                "h": float("nan") if step is None else step,
            }
            rows.append(score_rows(split, natural, natural).assign(is_perturbed=False, alpha=0.0, **about))
            for alpha in self.alphas:
                scores = _only(seen[alpha][number][2], attack.success)
                rows.append(score_rows(split, natural, scores).assign(is_perturbed=True, alpha=alpha, **about))
                summaries.append(summary_row(natural, scores, alpha, self.context.data_seed) | about)
        return {"detect_scores": pd.concat(rows, ignore_index=True), "detect_summary": pd.DataFrame(summaries)}

    def _scores(self, model: nn.Module, x: Tensor, step: float | None) -> Iterator[tuple[str, int, DetectionScores]]:
        """(family, directions, scores) of every statistic; boundary points are found in float64 whatever is derived."""
        dtype = torch.float32 if step is None else torch.float64
        derived, seen = copy.deepcopy(model).to(dtype), x.to(dtype)
        settings: dict[str, Any] = {"step": step, "batch_size": self.batch_size}
        if "sample_curvature" in self.statistics:
            for count in self.directions:
                draw = self._draw("sample_curvature", count)
                found = sample_curvature(
                    derived, seen, generator=draw, directions=count, candidates=self.candidates, **settings
                )
                yield AT_THE_IMAGE, count, found
        if "boundary_curvature" in self.statistics:
            for family in self.families:
                points = _as(FAMILIES[family](model, x, self._draw(family)), dtype)
                for count in self.directions:
                    draw = self._draw(f"boundary_curvature, {family}", count)
                    yield (
                        family,
                        count,
                        boundary_curvature(derived, points, generator=draw, directions=count, **settings),
                    )

    def _step(self, model: nn.Module, dataset: Dataset) -> float | None:
        if self.step is None and kinks(model):
            return port_step(math.prod(dataset.image_shape))
        return self.step

    def _draw(self, purpose: str, *counters: int) -> torch.Generator:
        return generator(self.context.data_seed, f"detect, {purpose}", *counters)


def score_rows(split: Split, natural: DetectionScores, scores: DetectionScores) -> pd.DataFrame:
    """The rows of table `detect_scores` for the scores of the split's images, or of their perturbed versions."""
    columns = {
        "index": split.index,
        "label": split.labels,
        "natural_class": natural.predicted,
        "score": scores.score,
        "error": scores.error,
        "margin": scores.margin,
        "predicted": scores.predicted,
        "runner_up": scores.runner_up,
        "recovered": scores.recovered,
        "success": scores.success,
        "flat": scores.flat,
        "forwards": scores.forwards,
        "backwards": scores.backwards,
    }
    return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})


def summary_row(natural: DetectionScores, perturbed: DetectionScores, alpha: float, seed: int) -> dict[str, object]:
    """A row of table `detect_summary`, without what names the statistic; nan where fewer than two images count."""
    try:
        found = summarise(natural, perturbed, alpha=alpha, seed=seed)
    except UsageError:
        counts = natural.success & perturbed.success & (natural.predicted != perturbed.predicted)
        return {**NOTHING, "alpha": alpha, "num_images": int(counts.sum()), "beats_margin": False}
    intervals = {
        f"{name}{end}": getattr(getattr(found, name), field)
        for name, (end, field) in itertools.product(INTERVALS, ENDS)
    }
    return {
        "alpha": alpha,
        "num_images": found.num_images,
        **intervals,
        "tpr_at_fpr05": found.tpr_at_fpr05,
        "tpr_at_fpr10": found.tpr_at_fpr10,
        "margin_tpr_at_fpr05": found.margin_roc.true_positive_at(0.05),
        "margin_tpr_at_fpr10": found.margin_roc.true_positive_at(0.10),
        "flat_rate": found.flat_rate,
        # the margin may be worse than chance: better than that is not yet good
        "beats_margin": found.beats_margin and found.auc.low > 0.5,
    }


def _as(points: BoundaryPoints, dtype: torch.dtype) -> BoundaryPoints:
    """The points with what curvature is derived from in another precision."""
    return replace(
        points, start=points.start.to(dtype), point=points.point.to(dtype), gradient=points.gradient.to(dtype)
    )


def _only(scores: DetectionScores, rows: Tensor) -> DetectionScores:
    """The scores with those of other rows taken away."""
    return replace(
        scores,
        score=torch.where(rows, scores.score, torch.nan),
        error=torch.where(rows, scores.error, torch.nan),
        recovered=torch.where(rows, scores.recovered, -1),
        success=scores.success & rows,
    )
