"""Probe `detect`: how well the boundary's curvature tells perturbed from natural images, beside the logit gap."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ...core.measuring import measuring
from ...core.moment import Moment
from ...core.norms import per_sample
from ...core.seeds import generator
from ...data import Dataset, Split
from ...geometry.boundary.hessian import port_step
from ...geometry.boundary.points import BoundaryPoints
from ...geometry.boundary.smoothness import in_double, kinks
from ...geometry.detection.separation import summarise
from ...geometry.detection.statistics import DetectionScores, boundary_curvature, perturb, sample_curvature
from ...models import Classifier
from ...names import FAMILIES
from ..measured import PROBES, Context, Measured
from .settings import DetectionSettings

# where the statistic at the image itself is taken
AT_THE_IMAGE = "image"

INTERVALS = ("auc", "logit_gap_auc", "gain", "recovery_rate", "runner_up_rate", "recovery_gain")
ENDS = (("", "value"), ("_low", "low"), ("_high", "high"))
RATES = ("tpr_at_fpr05", "tpr_at_fpr10", "logit_gap_tpr_at_fpr05", "logit_gap_tpr_at_fpr10", "flat_rate")
NOTHING = {name: float("nan") for name in (*(f"{name}{end}" for name in INTERVALS for end, _ in ENDS), *RATES)}


@PROBES.register("detect")
@dataclass(frozen=True)
class DetectProbe:
    """Scores of test images and of their DeepFool perturbations scaled by `alphas`, outside the box.

    The natural images and every alpha are judged along the same random directions. Networks with kinks, ReLU or
    max-pooling, have second differences in place of exact derivatives; `fd_step` asks for them of any network. They
    cancel, hence are taken in float64; exact derivatives are right to 1e-5 in float32, in a third of the time.

    Reference: arXiv 1705.09552, section 5.
    """

    context: Context
    settings: DetectionSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `detect_scores` and `detect_summary`."""
        split = dataset.test.balanced(self.settings.num_images, self.context.data_seed)
        with measuring(classifier):
            tables = self._tables(classifier, split, self._step(classifier, dataset))
        about = {"step": moment.step, "epoch": moment.epoch}
        return Measured({name: rows.assign(**about) for name, rows in tables.items()})

    def _tables(self, classifier: nn.Module, split: Split, step: float | None) -> dict[str, pd.DataFrame]:
        model, x = in_double(classifier), split.pixels().double()
        attack = FAMILIES["deepfool_end"](model, x, self._draw("deepfool_end"), overshoot=self.settings.overshoot)
        # rows without a perturbation are carried along as they are, so that no draw depends on what was found
        images = {0.0: x}
        for alpha in self.settings.alphas:
            perturbed = perturb(x, attack.point, alpha, self.settings.overshoot)
            images[alpha] = torch.where(per_sample(attack.success, x), perturbed, x)
        seen = {alpha: list(self._scores(model, part, step)) for alpha, part in images.items()}
        rows, summaries = [], []
        for number, (family, directions, natural) in enumerate(seen[0.0]):
            about = {
                "statistic": natural.statistic,
                "family": family,
                "num_directions": directions,
                "fd_step": float("nan") if step is None else step,
            }
            rows.append(score_rows(split, natural, natural).assign(is_perturbed=False, alpha=0.0, **about))
            for alpha in self.settings.alphas:
                scores = _only(seen[alpha][number][2], attack.success)
                rows.append(score_rows(split, natural, scores).assign(is_perturbed=True, alpha=alpha, **about))
                summaries.append(summary_row(natural, scores, alpha, self.context.data_seed) | about)
        return {"detect_scores": pd.concat(rows, ignore_index=True), "detect_summary": pd.DataFrame(summaries)}

    def _scores(self, model: nn.Module, x: Tensor, step: float | None) -> Iterator[tuple[str, int, DetectionScores]]:
        """(family, directions, scores) of every statistic; boundary points are found in float64 whatever is derived."""
        dtype = torch.float32 if step is None else torch.float64
        derived, seen = copy.deepcopy(model).to(dtype), x.to(dtype)
        settings: dict[str, Any] = {"step": step, "batch_size": self.settings.batch_size}
        if "sample_curvature" in self.settings.statistics:
            for count in self.settings.num_directions:
                draw = self._draw("sample_curvature", count)
                found = sample_curvature(
                    derived, seen, rng=draw, directions=count, candidates=self.settings.num_candidates, **settings
                )
                yield AT_THE_IMAGE, count, found
        if "boundary_curvature" in self.settings.statistics:
            for family in self.settings.families:
                points = _as(FAMILIES[family](model, x, self._draw(family)), dtype)
                for count in self.settings.num_directions:
                    draw = self._draw(f"boundary_curvature, {family}", count)
                    yield (
                        family,
                        count,
                        boundary_curvature(derived, points, rng=draw, directions=count, **settings),
                    )

    def _step(self, model: nn.Module, dataset: Dataset) -> float | None:
        if self.settings.fd_step is None and kinks(model):
            return port_step(math.prod(dataset.image_shape))
        return self.settings.fd_step

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
        "logit_gap": scores.logit_gap,
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
    found = summarise(natural, perturbed, alpha=alpha, seed=seed)
    if found is None:
        counts = natural.success & perturbed.success & (natural.predicted != perturbed.predicted)
        return {**NOTHING, "alpha": alpha, "num_images": int(counts.sum()), "beats_logit_gap": False}
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
        "logit_gap_tpr_at_fpr05": found.logit_gap_roc.true_positive_at(0.05),
        "logit_gap_tpr_at_fpr10": found.logit_gap_roc.true_positive_at(0.10),
        "flat_rate": found.flat_rate,
        # the baseline may be worse than chance: better than that is not yet good
        "beats_logit_gap": found.beats_logit_gap and found.auc.low > 0.5,
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
