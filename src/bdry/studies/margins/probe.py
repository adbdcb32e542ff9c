"""Probe `margin`: how far a fixed set of train and test images is from the decision boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...core.first_order import first_order_margins
from ...core.measuring import measuring
from ...core.moment import Moment
from ...core.norms import norm as norm_of
from ...core.segments import gap
from ...data import Dataset, Split
from ...margins import Estimator
from ...models import Classifier
from ..measured import PROBES, Context, Measured
from .settings import MarginSettings

SUBSETS = ("all", "correct", "incorrect")


@PROBES.register("margin")
@dataclass(frozen=True)
class MarginProbe:
    """Margins of class-balanced subsets of the train and test split, the same images at every moment.

    The context's estimator measures each norm and box of the settings from the predicted class, and so do those
    beside it.
    """

    context: Context
    settings: MarginSettings

    def measure(self, classifier: Classifier, dataset: Dataset, moment: Moment) -> Measured:
        """Tables `margins` (a row an image, norm, box and estimator), `margin_summary` (a row a subset of them) and
        `first_order` (a row an image and norm)."""
        settings, context = self.settings, self.context
        sizes = {"train": settings.num_train, "test": settings.num_test}
        estimators = {context.estimator_name: context.estimator, **context.beside}
        parts: dict[str, list[pd.DataFrame]] = {"margins": [], "first_order": []}
        with measuring(classifier):
            for split, images in dataset.splits().items():
                for batch in images.balanced(sizes[split], context.data_seed).batches(settings.batch_size):
                    about = {"step": moment.step, "epoch": moment.epoch, "split": split}
                    for name, estimator in estimators.items():
                        rows = measure_batch(classifier, batch, estimator, name, settings.norms, settings.clipped)
                        parts["margins"].append(rows.assign(**about))
                    parts["first_order"].append(first_order_rows(classifier, batch, settings.norms).assign(**about))
        if not parts["margins"]:
            return Measured({})
        tables = {name: pd.concat(found, ignore_index=True) for name, found in parts.items()}
        return Measured({**tables, "margin_summary": summarise(tables["margins"])})


def measure_batch(
    classifier: nn.Module,
    batch: Split,
    estimator: Estimator,
    estimator_name: str,
    norms: Sequence[str],
    clipped: Sequence[bool],
    towards: int | None = None,
) -> pd.DataFrame:
    """The rows of table `margins` for one batch of images, without step, epoch and split.

    `classifier` is in the state that `core.measuring` makes. All images in the first norm and box come first. With
    `towards`, a class, images that are predicted so already have no distance to it: they are no success.
    """
    x = batch.pixels()
    with torch.no_grad():
        logits = classifier(x)
    predicted = logits.argmax(1)
    about_images = {
        "index": batch.index,
        "label": batch.labels,
        "predicted": predicted,
        "correct": predicted == batch.labels,
        "confidence": logits.softmax(1).amax(1),
        "logit_gap": gap(logits, predicted),
    }
    target = None if towards is None else torch.full_like(predicted, towards)
    away = torch.ones_like(predicted, dtype=torch.bool) if target is None else predicted != target
    parts = []
    for norm in norms:
        length = norm_of(x, norm)
        for in_box in clipped:
            result = estimator(classifier, x, norm=norm, clipped=in_box, towards=target)
            margin = torch.where(away, result.margin, torch.nan)
            columns = {
                **about_images,
                "margin": margin,
                "lower_bound": torch.where(away, result.lower, torch.nan),
                "margin_overshot": torch.where(away, result.overshot, torch.nan),
                "margin_relative": margin / length,
                "success": result.success & away,
                "boundary_class": torch.where(away, result.boundary_class, -1),
                "iterations": result.iterations,
                "forwards": result.forwards,
                "backwards": result.backwards,
            }
            table = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
            parts.append(table.assign(norm=norm, clipped=in_box, estimator=estimator_name))
    return pd.concat(parts, ignore_index=True)


def first_order_rows(classifier: nn.Module, batch: Split, norms: Sequence[str]) -> pd.DataFrame:
    """The rows of table `first_order` for one batch of images, without step, epoch and split."""
    x = batch.pixels()
    with torch.no_grad():
        predicted = classifier(x).argmax(1)
    parts = []
    for norm, found in first_order_margins(classifier, x, norms).items():
        columns = {
            "index": batch.index,
            "label": batch.labels,
            "predicted": predicted,
            "correct": predicted == batch.labels,
            "logit_gap": found.logit_gap,
            "gradient_norm": found.gradient_norm,
            "margin": found.margin.where(found.margin.isfinite(), torch.nan),
            "boundary_class": found.boundary_class,
        }
        parts.append(pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()}).assign(norm=norm))
    return pd.concat(parts, ignore_index=True)


def summarise(margins: pd.DataFrame) -> pd.DataFrame:
    """A row for each step, split, norm, box and subset (all, correct, incorrect) with at least one image.

    Statistics are over the images whose margin was found; `success_rate` says how many those are.
    """
    rows = []
    keys = ["step", "epoch", "split", "norm", "clipped", "estimator"]
    for values, group in margins.groupby(keys, sort=False):
        for subset in SUBSETS:
            chosen = group if subset == "all" else group[group["correct"] == (subset == "correct")]
            if len(chosen):
                rows.append({**dict(zip(keys, values, strict=True)), "subset": subset, **_statistics(chosen)})
    return pd.DataFrame(rows)


def _statistics(chosen: pd.DataFrame) -> dict[str, float]:
    # float64 before averaging: float32 sums depend on their order
    found = chosen.loc[chosen["success"], "margin"].to_numpy(np.float64)
    quantiles = np.quantile(found, [0.25, 0.5, 0.75]) if len(found) else [np.nan] * 3
    return {
        "num_images": len(chosen),
        "num_success": len(found),
        "success_rate": len(found) / len(chosen),
        "mean": found.mean() if len(found) else np.nan,
        "median": quantiles[1],
        "q25": quantiles[0],
        "q75": quantiles[2],
        "min": found.min() if len(found) else np.nan,
        "mean_lower_bound": chosen["lower_bound"].to_numpy(np.float64).mean(),
        "mean_iterations": chosen["iterations"].to_numpy(np.float64).mean(),
    }
