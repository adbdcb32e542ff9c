"""`bdry compare <place> <place> ...`: runs or experiments side by side. No torch here."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ..errors import UsageError, one_line, show_value
from ..runs import RunRecord, find_runs
from ..runs.differences import differing, flattened, short_names
from ..selection.effects import FEWEST_SEEDS, over_seeds
from ..selection.overview import MEASURED, inventory
from ..session.console import say_skipped, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "places",
        nargs="+",
        metavar="place",
        help="runs, folders of seeds, or globs; the first one is the reference",
    )


def run(parsed: argparse.Namespace) -> None:
    """Prints the config keys that differ, then the results of two runs, or the effects on experiments."""
    looked = [find_runs([place], unfinished=True) for place in parsed.places]
    found = {record.run.path.resolve(): record for records, _ in looked for record in records}
    skipped = list(dict.fromkeys(reason for _, reasons in looked for reason in reasons))
    if len(found) < 2 and skipped:
        raise UsageError(skipped[0])
    say_skipped(skipped)
    if len(found) < 2:
        raise UsageError(f"{' '.join(parsed.places)}: needs two runs or experiments to compare")
    if len(found) == len(parsed.places) == 2:
        _two_runs(list(found.values()))
        return
    experiments: dict[str, list[RunRecord]] = {}
    for record in found.values():
        experiments.setdefault(record.run.experiment, []).append(record)
    if len(experiments) < 2:
        (name,) = experiments
        raise UsageError(
            f"{' '.join(parsed.places)}: all are seeds of {name}; name two runs, or another experiment too"
        )
    configs = {name: group[0].config for name, group in experiments.items()}
    names = short_names(configs)
    _differences(list(names.values()), list(configs.values()))
    _effects([names[name] for name in experiments], list(experiments.values()))


def _two_runs(records: Sequence[RunRecord]) -> None:
    names = [record.run.name for record in records]
    flat = [flattened(record.config) for record in records]
    keys = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    _print_config(names, keys, flat)
    shown = inventory(records).drop(columns=["experiment", "path"]).T
    show("results", ["", *names], [(key, *map(_cell, values)) for key, values in shown.iterrows()])


def _differences(names: Sequence[str], configs: Sequence[Mapping[str, object]]) -> None:
    flat = [flattened(config) for config in configs]
    studies = ["study"] if len({str(one.get("study", "")) for one in flat}) > 1 else []
    _print_config(names, [*studies, *differing(configs)], flat)


def _print_config(names: Sequence[str], keys: Sequence[str], flat: Sequence[Mapping[str, object]]) -> None:
    rows = [(one_line(key), *(one_line(show_value(one[key])) if key in one else "" for one in flat)) for key in keys]
    show("config" if rows else "config: no difference", ["key", *names], rows, may_turn=True)


def _effects(names: Sequence[str], groups: Sequence[Sequence[RunRecord]]) -> None:
    """Means over seeds; of each experiment but the first also the mean difference to it, over the seeds of both."""
    tables = [inventory(group).drop_duplicates("seed").set_index("seed") for group in groups]
    rows = []
    for column in MEASURED:
        values = [table[column].astype(float) for table in tables]
        cells = [over_seeds(one).value for one in values]
        if all(map(math.isnan, cells)):
            continue
        rows.append((column, *map(_cell, cells)))
        rows.append(("  difference", "", *(spread((one - values[0]).dropna()) for one in values[1:])))
    seeds = ("seeds", *(str(len(table)) for table in tables))
    show(
        f"mean over seeds; differences to {names[0]} over the seeds of both",
        ["", *names],
        [seeds, *rows],
        may_turn=True,
    )
    if any(len(table) < FEWEST_SEEDS for table in tables):
        print(f"a difference has a 95 % interval from {FEWEST_SEEDS} seeds in both on; else (smallest to largest)")


def spread(values: pd.Series) -> str:
    """The mean with its 95 % interval; of a few seeds with the smallest and the largest; "" of none."""
    effect = over_seeds(values)
    if effect.num_seeds == 0:
        return ""
    if effect.known:
        return str(effect)
    return (
        f"{effect.value:.3g} ({values.min():.3g} to {values.max():.3g})"
        if effect.num_seeds > 1
        else _cell(effect.value)
    )


def _cell(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
