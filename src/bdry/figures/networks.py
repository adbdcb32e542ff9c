"""Networks compared: rows of the main study, named by activation and training, at the last moment or over training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..runs import RunRecord
from ..selection import IDENTITY, select
from ..selection.rule import Moments
from .curves import Legend
from .points import EXPERIMENT, TRAININGS, in_order, of_study, over_seeds, told_apart
from .style import shown

LINE = "line"
MOMENT = [*EXPERIMENT, "series", "seed", "step", "epoch"]
NO_ROWS = pd.DataFrame(columns=[*IDENTITY, "series", "step"])


def series_of(records: Sequence[RunRecord]) -> dict[str, str]:
    """What a legend calls each experiment: its activation, without which no curvature says anything, and its training.

    Config keys are added where two of a data set and architecture would be called the same. All are of one study.
    """
    called = {}
    for record in records:
        about = record.identity
        activation = record.config["arch"].get("activation", record.config["arch"]["name"])
        name = f"{activation}, {TRAININGS.get(about['training'], about['training'])}"
        called[about["experiment"], about["study"]] = (about["dataset"], about["arch"], name)
    return {experiment: name for (experiment, _), name in told_apart(called, records).items()}


def last_rows(records: Sequence[RunRecord], table: str) -> pd.DataFrame:
    """The main runs' rows of a table at the last moment measured, with the column `series`."""
    return _named(records, table, "last")


def curve_rows(records: Sequence[RunRecord], table: str) -> pd.DataFrame:
    """The main runs' rows of all moments, of measurements that have several, with the column `series`."""
    return _named(records, table, "curve")


def _named(records: Sequence[RunRecord], table: str, moments: Moments) -> pd.DataFrame:
    main = of_study(records, "main")
    rows = select(main, table, moments=moments).rows
    return rows.assign(series=rows["experiment"].map(series_of(main))) if len(rows) else NO_ROWS


def panel_means(rows: pd.DataFrame, column: str, panel: str) -> pd.DataFrame:
    """Mean and quartiles of a column at each moment of each run, as points of a panel."""
    known = rows.dropna(subset=[column])
    groups = known.groupby(MOMENT, sort=True)[column]
    found = groups.agg(value="mean", num_images="size", q25=lambda v: v.quantile(0.25), q75=lambda v: v.quantile(0.75))
    if set(known[column].unique()) <= {0.0, 0.5, 1.0}:
        # quartiles of yes, no and neither say nothing
        found = found.assign(q25=float("nan"), q75=float("nan"))
    return found.reset_index().assign(panel=panel)


def over_seeds_of_panels(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The curves of panels from their points, columns as in `points.over_seeds`."""
    known = [part for part in parts if len(part)]
    if not known:
        return pd.DataFrame(columns=["dataset", "arch"])
    return over_seeds(pd.concat(known, ignore_index=True), [*EXPERIMENT, "series", "panel"])


def by_activation_and_training(drawn: pd.DataFrame) -> tuple[pd.DataFrame, Legend]:
    """A colour an activation, with the config keys that `series_of` adds, and a line style a training.

    What is drawn comes back with `series` cut down to the former and the training in a column of its own.
    """
    trainings = drawn["training"].map(lambda name: TRAININGS.get(name, name))
    parts = [name.split(", ") for name in drawn["series"]]
    colours = [", ".join([activation, *added]) for activation, _, *added in parts]
    placed = drawn.assign(series=colours, **{LINE: trainings.map(shown)})
    lines = {shown(name): number for number, name in enumerate(in_order(trainings))}
    return placed, Legend(in_order(placed["series"]), LINE, lines)
