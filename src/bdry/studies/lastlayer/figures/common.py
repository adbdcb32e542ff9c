"""What the figures of li2018 have in common: names of stages and SVMs, and the last layers whose arrays were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ....figures.points import EXPERIMENT, told_apart
from ....figures.style import COLOURS
from ....runs import RunRecord
from ....selection import Source, rank, select
from ....selection.units import study_of

PLACE = ["dataset", "study", "experiment"]
SVM = "runs with probe=[svm], or measured by bdry svm run=<run>"
STAGES = {
    "whole": "whole network",
    "last_only": "last layer only",
    "last_only_loss_scaled": "last layer only, loss-scaled",
    "accelerated": "last layer only, accelerated",
}
STAGE_LINES: dict[str, Any] = {
    "whole": "-",
    "last_only": (0, (1, 1.2)),
    "last_only_loss_scaled": (0, (5, 1.5)),
    "accelerated": "-.",
}
# the variants in order, and their colours
VARIANTS = ("S1", "S3", "S2", "OvR", "SVC", "hard OvR", "soft S1")
LABELS = {
    "S1": "S1 (bias penalised)",
    "S3": "S3 (bias free)",
    "S2": "S2 (no bias)",
    "OvR": "one-vs-rest (the paper's)",
    "SVC": "SVC (the paper's)",
    "hard OvR": "hard one-vs-rest",
    "soft S1": "S1 with slack",
}


def colour(variant: str) -> str:
    """One colour a variant; the paper's two comparators share theirs."""
    return COLOURS[{"OvR": 1, "SVC": 1, "S1": 0, "S3": 2, "S2": 3, "soft S1": 5}.get(variant, 4)]


def separable_rows(records: Sequence[RunRecord]) -> pd.DataFrame:
    """`svm_convergence` of moments that S1 separates, on features as they are, of layers that began as trained."""
    rows = select(records, "svm_convergence").rows
    if rows.empty:
        return rows
    moment = ["experiment", "seed", "step"]
    separated = rows.loc[(rows["variant"] == "S1") & rows["separable"], moment].drop_duplicates()
    rows = rows[rows["angle_full_deg"].notna() & ~rows["rescaled"] & ~rows["fresh"]]
    return rows.merge(separated, on=moment)


@dataclass(frozen=True)
class Layer:
    """The arrays of one last layer, at the last moment with arrays of the measurement that it is from.

    title: data set, study and seed, with the config keys that tell it from others of these.
    """

    source: Source
    stage: str
    step: int
    arrays: dict[str, np.ndarray]
    title: str = ""

    def identified(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` with the columns that tell whose arrays they are from."""
        about = {column: self.source.record.identity[column] for column in [*EXPERIMENT, "seed"]}
        return rows.assign(stage=self.stage, step=self.step, **about)


def layers(records: Sequence[RunRecord]) -> list[list[Layer]]:
    """Of each experiment's first seed with arrays one layer of every stage, of the best measurement by `selection`."""
    done: dict[str, list[Layer]] = {}
    ordered = sorted(records, key=lambda record: (record.identity["experiment"], record.identity["seed"]))
    for record, ranking in zip(ordered, rank(ordered, "svm_convergence"), strict=True):
        experiment = record.identity["experiment"]
        found: dict[str, Layer] = {}
        for source in ranking.sources if experiment not in done else ():
            layer = _layer(source)
            if layer is not None:
                found.setdefault(layer.stage, layer)
        if found:
            done[experiment] = [found[stage] for stage in STAGES if stage in found]
    return _titled(list(done.values()), records)


def _titled(found: list[list[Layer]], records: Sequence[RunRecord]) -> list[list[Layer]]:
    """Each experiment's layers with their title."""
    abouts = [each[0].source.record.identity for each in found]
    keys = [(about["experiment"], about["study"]) for about in abouts]
    called = {key: [f"{about['dataset']}, {about['study']}"] for key, about in zip(keys, abouts, strict=True)}
    titles = told_apart(called, records)
    return [
        [replace(layer, title=f"{titles[key]}, seed {about['seed']}") for layer in each]
        for key, about, each in zip(keys, abouts, found, strict=True)
    ]


def _layer(source: Source) -> Layer | None:
    steps = source.steps_with("svm")
    if not steps:
        return None
    stage = str(source.config(study_of("svm_convergence")).get("stage", "whole"))
    return Layer(source, stage, steps[-1], source.arrays("svm", steps[-1]) or {})
