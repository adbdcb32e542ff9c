"""From the tables of many runs to the points of curves: one value a run, seed and moment, then bands over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..runs import RunRecord
from ..runs.differences import labels
from ..selection import main_margins, select

# the columns that tell experiments apart
EXPERIMENT = ["dataset", "arch", "experiment", "study", "training"]
IDENTITY = [*EXPERIMENT, "adv", "seed"]

# a mean over fewer images is noise: such cells are dropped (docs/papers/mickisch2020.md, R2)
FEWEST_IMAGES = 20

TRAININGS = {"standard": "standard", "pgd linf": "PGD linf", "pgd l2": "PGD l2"}
CONTROL = "control: "


def of_study(records: Iterable[RunRecord], *studies: str) -> list[RunRecord]:
    """The runs whose study is one of `studies`."""
    return [record for record in records if record.identity["study"] in studies]


def rows_of(records: Sequence[RunRecord], name: str, *, every_estimator: bool = False) -> pd.DataFrame:
    """The rows of one table that count, of all the runs that have it, one below the other; no rows where none has it.

    Of distances in R^d and inside the box, a run's are the former; where it measured only inside the box, those. Of
    several estimators they are the run's own, unless `every_estimator` is asked for.
    """
    rows = select(records, name).rows
    if "clipped" not in rows or rows.empty:
        return rows
    runs = rows.groupby(["experiment", "seed"], sort=False)
    return pd.concat([main_margins(part, every_estimator=every_estimator) for _, part in runs], ignore_index=True)


def margin_points(records: Sequence[RunRecord], subset: str = "all") -> pd.DataFrame:
    """Mean margins, a row a run, seed, moment, split and norm, which is the panel.

    value, q25, q75: mean and quartiles over the images with a margin, whose number is num_images. adv_eps: the radius
    trained against where the panel's norm is the attack's, else nan.
    """
    rows = rows_of(records, "margin_summary")
    chosen = rows[(rows["subset"] == subset) & rows["mean"].notna()]
    adversaries = {record.identity["experiment"]: record.config["adv"] for record in records}
    radii = [
        adversaries[name].get("eps", np.nan) if adversaries[name].get("norm") == norm else np.nan
        for name, norm in zip(chosen["experiment"], chosen["norm"], strict=True)
    ]
    return chosen.assign(
        panel=chosen["norm"],
        value=chosen["mean"],
        lower_bound=chosen["mean_lower_bound"],
        num_images=chosen["num_success"],
        adv_eps=np.array(radii, dtype=np.float64),
    )


def history_points(records: Sequence[RunRecord], panels: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """Columns of the table history, a row a run, seed, moment and (panel, split, column) of `panels`.

    An accuracy becomes an error, 1 - accuracy.
    """
    rows, parts = rows_of(records, "history"), []
    for panel, split, column in panels:
        value = 1 - rows[column] if column.endswith("accuracy") else rows[column]
        parts.append(rows.assign(panel=panel, split=split, value=value, num_images=0)[value.notna()])
    return pd.concat(parts, ignore_index=True)


def over_seeds(points: pd.DataFrame, curve: Sequence[str], along: Sequence[str] = ("step", "epoch")) -> pd.DataFrame:
    """A row a point of a curve: mean over its seeds, and the ends of its band.

    `curve`: the columns that tell curves apart. `along`: those that tell a curve's points apart. A band spans the
    smallest to the largest seed; where the curve has one seed only, the quartiles over images (columns q25 and q75),
    if the points have them. Columns: curve, along, value, low, high, lower_bound, adv_eps, num_seeds, num_images (of
    the seed with fewest), seeds (those of the curve, with spaces between them).
    """
    columns = [*dict.fromkeys([*curve, *along, "seed", "num_images", "value"])]
    spread = points.reindex(columns=[*columns, "q25", "q75", "lower_bound", "adv_eps"])
    several = spread.groupby(list(curve))["seed"].transform("nunique") > 1
    spread["low"] = spread["value"].where(several, spread["q25"])
    spread["high"] = spread["value"].where(several, spread["q75"])
    grouped = spread.groupby([*curve, *along], sort=True)
    seeds = spread.groupby(list(curve))["seed"].agg(lambda seed: " ".join(map(str, sorted(set(seed)))))
    points = grouped.agg(
        value=("value", "mean"),
        low=("low", "min"),
        high=("high", "max"),
        lower_bound=("lower_bound", "mean"),
        adv_eps=("adv_eps", "first"),
        num_seeds=("seed", "nunique"),
        num_images=("num_images", "min"),
    )
    return points.reset_index().merge(seeds.rename("seeds").reset_index(), on=list(curve))


def last_moment(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run and seed's last moment."""
    return rows[rows["step"] == rows.groupby(["experiment", "seed"])["step"].transform("max")]


def series(rows: pd.DataFrame, records: Sequence[RunRecord], *, several_archs: bool = False) -> pd.Series:
    """What a legend calls each row's run: its training, and whatever else tells it from the other runs in `rows`.

    That is the study (other than the main one), the architecture where a figure shows `several_archs`, and config keys
    (`differences.labels`) where two would still be called the same.
    """
    called = {}
    for run in rows[EXPERIMENT].drop_duplicates().itertuples():
        parts = [TRAININGS.get(run.training, run.training)]
        if run.study.startswith(CONTROL):
            control = run.study.removeprefix(CONTROL)
            parts = [control] if run.training == "standard" else [control, *parts]
        elif run.study not in ("main", "transfer"):
            parts.append(run.study)
        if several_archs:
            parts.append(run.arch)
        called[run.experiment, run.study] = (run.dataset, run.arch, ", ".join(parts))
    names = told_apart(called, records)
    return pd.Series(
        [names[key] for key in zip(rows["experiment"], rows["study"], strict=True)], index=rows.index, dtype="str"
    )


def told_apart(
    called: Mapping[tuple[str, str], Sequence[str]], records: Sequence[RunRecord]
) -> dict[tuple[str, str], str]:
    """The last part of each experiment's name, with config keys, or its hash, where others would be called the same.

    Args:
        called: by experiment and study, what it is called and, before that, the picture that it is in.
        records: have their configs.
    """
    configs = {(record.identity["experiment"], record.identity["study"]): record.config for record in records}
    names = {}
    for key, parts in labels(called, {key: configs[key] for key in called}).items():
        names[key] = ", ".join([called[key][-1], *([key[0].rpartition("-")[2]] if parts is None else parts)])
    return names


def in_order(names: Iterable[str]) -> list[str]:
    """Names of series as legends list them: standard training, adversarial by norm, all others by name."""
    known = list(TRAININGS.values())

    def rank(name: str) -> tuple[int, str]:
        found = (number for number, training in enumerate(known) if name.startswith(training))
        return (next(found, len(known)), name)

    return sorted(set(names), key=rank)
