"""What the figures of karimi2020 have in common: names of methods, and measurements with pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ....figures.captions import keep
from ....figures.classes import class_names
from ....figures.drawing import Draw
from ....figures.points import told_apart
from ....runs import TABLES, RunRecord
from ....runs.files import file_name
from ....selection import IDENTITY, Source, rank, select
from ....selection.units import study_of
from ..tables import PICTURES

METHODS = ("deepdig", "real_ae1", "margin_bisect", "epbs", "epbs_as_coded", "rpbs")
METHOD_LABELS = {
    "deepdig": "DeepDIG",
    "real_ae1": "image, AE1",
    "margin_bisect": "margin estimator",
    "epbs": "EPBS",
    "epbs_as_coded": "EPBS as coded",
    "rpbs": "RPBS",
}
PAIR = ["source", "target"]
Pair = tuple[int, int]


MEASURED = "runs measured by bdry deepdig or with probe=[deepdig]"
CLOSELY = f"{MEASURED}, num_detailed at least 1"


@dataclass(frozen=True)
class Detailed:
    """One measurement of one run with pictures, at its last moment.

    title: data set and architecture, with the config keys that tell it from other networks of these.
    """

    source: Source
    step: int
    title: str = ""

    def table(self, name: str) -> pd.DataFrame:
        """The rows of the last moment, the run's identity behind the columns of the table."""
        about = [*IDENTITY, "measurement"]
        if not self.source.folder.has_table(name):
            # no instance was generated, hence nothing measured on any
            return pd.DataFrame(columns=[*TABLES[name].column_names, *about])
        rows = self.source.table(name)
        ordered = rows[
            [
                *(column for column in rows if column not in about and not column.startswith("is_main")),
                "measurement",
                *IDENTITY,
            ]
        ]
        return ordered[rows["step"] == self.step].reset_index(drop=True)

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """The array file `pictures`."""
        return self.source.arrays(PICTURES.name, self.step) or {}

    def picture(self, name: str, pair: Pair, **fields: str) -> np.ndarray:
        """Of `pictures` the array declared as `name`, of an ordered pair; `KeyError` where it was not kept.

        Args:
            name: the declared name, with `{pair}` for `{source}-{target}`.
            fields: the other values in the name, as `method="deepdig"`.
        """
        declared = name.replace("{pair}", "{source}-{target}")
        return self.pictures[PICTURES.key(declared, source=pair[0], target=pair[1], **fields)]

    def pairs(self, name: str = "strips {pair} image", **fields: str) -> list[Pair]:
        """The ordered pairs of which `pictures` has the array declared as `name`, in their order in the file."""
        shown = PICTURES.fields(name.replace("{pair}", "{source}-{target}"), self.pictures)
        return [(int(of["source"]), int(of["target"])) for of in shown if fields.items() <= of.items()]

    @property
    def beta(self) -> float:
        """The difference of both probabilities at which bisection ended."""
        return float(self.source.config(study_of("generation"))["beta"])

    @property
    def about(self) -> dict[str, Any]:
        """The run's identity."""
        return self.source.record.identity

    def names(self, pair: Pair) -> tuple[str, str]:
        """What a pair's classes are called."""
        known = class_names(self.source.record, max(pair) + 1)
        return known[int(pair[0])], known[int(pair[1])]


def detailed(records: Sequence[RunRecord]) -> list[Detailed]:
    """For each data set and architecture the best measurement with pictures, by `selection`, of the smallest seed."""
    best: dict[tuple[str, str], Detailed] = {}
    called: dict[tuple[str, str], list[str]] = {}
    for ranking in rank(sorted(records, key=lambda record: record.identity["seed"]), "generation"):
        for source in ranking.sources:
            rows = source.table("generation")
            if len(rows) and source.folder.arrays_path(PICTURES.name, int(rows["step"].max())).exists():
                found = Detailed(source, int(rows["step"].max()))
                about = found.about
                best.setdefault((about["dataset"], about["arch"]), found)
                called[about["experiment"], about["study"]] = [f"{about['dataset']}, {about['arch']}"]
                break
    titles = told_apart(called, records)
    return [
        replace(found, title=titles[found.about["experiment"], found.about["study"]])
        for _, found in sorted(best.items())
    ]


def each_detailed(
    data: Callable[[Detailed], pd.DataFrame], picture: Callable[[pd.DataFrame, Detailed], Figure], what: str
) -> Draw:
    """A figure for each of `detailed`."""

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        paths = []
        for found in detailed(records):
            drawn = data(found)
            if len(drawn):
                stem = file_name(name, found.about["dataset"], found.about["arch"])
                paths += keep(name, found.title, stem, picture(drawn, found), drawn, records, folder, what)
        return paths

    return draw


def last_rows(records: Sequence[RunRecord], name: str, *main: str) -> pd.DataFrame:
    """One table at each run's last moment; of the columns `main` (alpha, grid) without the sweeps over them."""
    rows = select(records, name, moments="last").rows
    for column in main:
        rows = rows[rows[f"is_main_{column}"].astype(bool)]
    return rows


def named(rows: pd.DataFrame, records: Sequence[RunRecord]) -> pd.DataFrame:
    """The rows with the columns `source_name` and `target_name`, empty where a row is of no direction."""
    of = {record.identity["experiment"]: record for record in records}
    most = int(np.nanmax(rows[PAIR].to_numpy(float), initial=-1)) + 1
    known = {experiment: class_names(of[experiment], most) for experiment in rows["experiment"].unique()}
    for end in PAIR:
        labels = zip(rows["experiment"], rows[end], strict=True)
        rows = rows.assign(
            **{f"{end}_name": ["" if pd.isna(label) else known[experiment][int(label)] for experiment, label in labels]}
        )
    return rows


def arrow(source: str, target: str) -> str:
    """A direction as titles have it."""
    return f"{source}→{target}"


def arrow_of(rows: pd.DataFrame) -> str:
    """The direction that `named` rows are of."""
    return arrow(rows["source_name"].iloc[0], rows["target_name"].iloc[0])
