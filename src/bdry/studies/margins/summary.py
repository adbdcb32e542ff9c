"""What `bdry margin` prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..printed import Rows, Tables

HEADINGS = ("norm", "split", "step (epoch)", "images", "found", "mean", "median", "smallest")
# of estimators that certify a ball around each image
BOUNDED = ("certified", "mean lower bound")
CHECKED = ("norm", "estimator", "found", "mean margin", "to best known")
WHERE = ["norm", "clipped", "split", "step"]
# a classifier that has come less far from guessing to perfect is likely not given the images that it was trained on
NEAR_CHANCE = 0.1


def summary(tables: Tables, settings: Mapping[str, Any]) -> Iterator[str | Rows]:
    """Accuracy (unless said before) and margins of the images; the estimators beside each other where several."""
    margins, summed, checked = tables("margins"), tables("margin_summary"), tables("estimator_check")
    if margins is not None and not margins.empty and not settings["accuracy_said"]:
        last = margins[margins["step"] == margins["step"].max()]
        images = last.drop_duplicates(["split", "index"])
        for split, part in images.groupby("split", sort=False):
            yield accuracy_line(part["correct"].mean(), len(part), str(split))
    if summed is not None:
        title = f"{settings['title']}: {settings['margin']['name']} margins, pixel units of [0, 1]"
        certified = _certified(margins) if margins is not None else {}
        bounded = BOUNDED if certified else ()
        yield Rows(title, (*HEADINGS, *bounded), _margins(summed, certified))
    if checked is not None:
        # here, because it draws too, and matplotlib is slow to import
        from .figures.estimators import compare

        yield _estimators(compare(checked))


def accuracy_line(accuracy: float, num_images: int, split: str) -> str:
    """How many of these images are classified right."""
    return f"accuracy {accuracy:.1%} on the {num_images} {split} images measured"


def chance_line(accuracy: float, num_classes: int) -> str:
    """What may be wrong where the accuracy is about that of guessing; empty where it is not."""
    chance = 1 / num_classes
    if accuracy >= chance + NEAR_CHANCE * (1 - chance):
        return ""
    return f"that is about chance ({chance:.0%}): is the normalisation missing? The module sees images in [0, 1]"


def _certified(margins: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """The share of images with a lower bound above 0, by norm, box, split and step; empty where none has a bound."""
    if margins["lower_bound"].isna().all():
        return {}
    return dict((margins["lower_bound"] > 0).groupby([margins[key] for key in WHERE]).mean())


def _margins(summed: pd.DataFrame, certified: Mapping[tuple[Any, ...], float]) -> list[tuple[str, ...]]:
    return [
        (
            _where(row.norm, row.clipped),
            row.split,
            f"{row.step} ({row.epoch:.3g})",
            str(row.num_images),
            f"{row.success_rate:.1%}",
            *(_number(value) for value in (row.mean, row.median, row.min)),
            *(
                [f"{certified[row.norm, row.clipped, row.split, row.step]:.1%}", _number(row.mean_lower_bound)]
                if certified
                else []
            ),
        )
        for row in summed[summed["subset"] == "all"].itertuples()
    ]


def _number(value: float) -> str:
    """A dash where there is none: an estimator that only bounds finds no margins."""
    return f"{value:.4g}" if np.isfinite(value) else "-"


def _estimators(compared: pd.DataFrame) -> Rows:
    """The trend where several checkpoints were measured."""
    several = bool(compared["trend_agrees"].notna().any())
    words = {True: "agrees", False: "DISAGREES"}
    rows = [
        (
            _where(row.norm, row.clipped),
            row.estimator,
            f"{row.success_rate:.1%}",
            f"{row.mean_margin:.4g}",
            f"{row.mean_ratio:.4g}",
            *([f"{row.change:+.3g}", words.get(row.trend_agrees, "unknown")] if several else []),
        )
        for row in compared.itertuples()
    ]
    trend = ("change", "trend") if several else ()
    return Rows("the same images by several estimators", (*CHECKED, *trend), rows)


def _where(norm: str, clipped: bool) -> str:
    """A norm and a box in a word or three."""
    return f"{norm}, in the box" if clipped else norm
