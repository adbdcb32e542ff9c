"""The one rule which rows of which measurement count, for figures, verdicts and the report.

A run is measured by probes while it trains, and by commands (`bdry deepdig run=...`) afterwards. Where several
measurements have rows on the same thing, the rows of one of them count. Which one is read from the measurements'
configs and from when they finished, never from how many rows there are:

1. A unit, such as a pair of classes and a method, is taken from one measurement as a whole. What only one measurement
   has is taken from it: a command on one network leaves the probes' rows of another network where they are.
2. A command outranks a probe on the same unit, because somebody asked for it. Margins over training are the exception:
   they are one curve of the same images at every moment, which the probe measured, and a command adds to it what has
   the probe's settings and was not measured.
3. Of commands with the same settings, the one that finished later outranks an earlier one on the same unit. Settings
   that only list what is measured (pairs, methods, scenarios, ...) may differ.
4. Of commands with different settings (another number of images, another weight, ...) those with the study's settings
   count and the others do not. The study's settings are those that most runs of the experiment were measured with; of
   equally many, those of the run's measurement that finished first. A figure that compares settings asks for
   `variants`, and gets the others as well, after the study's.
5. Another quantity in the same table (`bdry margin towards=3`) never counts.
6. Rows of another alpha or grid than the main one in the measurement's config are a sweep: `is_main_alpha` or
   `is_main_grid` is False.
7. A measurement's own figures (`RunRecord.only`) draw exactly what it measured.

What does not count is listed, with the reason: `Selection.passed`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import RunError, one_line
from ..runs import TABLES, Measurement, Run, RunRecord
from ..runs.arrays import steps_of
from .units import NO_SETTINGS, Study, study_of

# the columns in front of every row: whose it is
IDENTITY = ["experiment", "study", "dataset", "arch", "adv", "training", "seed"]
# what the column `measurement` says of rows that a probe wrote
PROBE = "training"
# no table has such columns: the place of a row's measurement, and of the one that its unit is taken from
ORDER, WINNER = "(order)", "(winner)"
PASSED = ["experiment", "seed", "dataset", "table", "measurement", "num_rows", "reason"]

Moments = Literal["all", "last", "curve"]


@dataclass(frozen=True)
class Source:
    """One measurement of one run: a command's, or what the probes saw in training (then `folder` is the run's)."""

    record: RunRecord
    folder: Run | Measurement

    @property
    def name(self) -> str:
        """What the column `measurement` says."""
        return self.folder.path.name if isinstance(self.folder, Measurement) else PROBE

    def config(self, study: Study) -> dict[str, Any]:
        """How it was measured."""
        if isinstance(self.folder, Measurement):
            return self._resolved
        probe = (self.record.config.get("probe") or {}).get(study.probe) or {}
        return {**probe, "margin": self.record.config.get("margin")} if study.probe == "margin" else probe

    @cached_property
    def _resolved(self) -> dict[str, Any]:
        """The command's config, which the rule asks for again and again."""
        return self.folder.read_config()

    @cached_property
    def finished(self) -> str:
        """When it was finished, as a text that sorts by time."""
        return str(self.folder.status().get("updated", ""))

    def table(self, name: str) -> pd.DataFrame:
        """One table, the run's identity and the column `measurement` in front; `RunError` where it is damaged."""
        rows = self.folder.table(name)
        for position, (column, value) in enumerate({**self.record.identity, "measurement": self.name}.items()):
            rows.insert(position, column, value)
        study = study_of(name)
        for column, key in study.main.items():
            if column in rows:
                rows[f"is_main_{column}"] = _is(rows[column], self.config(study).get(key))
        return rows

    def steps_with(self, name: str) -> list[int]:
        """The moments whose arrays `name` were kept, in order."""
        return steps_of(self.folder.path, name)

    def arrays(self, name: str, step: int) -> dict[str, np.ndarray] | None:
        """The arrays `name` of a moment, or None where there are none."""
        try:
            return self.folder.read_arrays(name, step)
        except RunError:
            return None


@dataclass(frozen=True)
class Ranking:
    """The measurements of one run that may count, the best first, and the others, each with the reason."""

    sources: list[Source]
    passed: list[tuple[Source, str]]


@dataclass(frozen=True)
class Selection:
    """The rows that count and what was passed over.

    rows: `IDENTITY`, `measurement` (`PROBE`, or the name of a command's folder), the table's columns and, for each
        column that a measurement may sweep over, `is_main_<column>`.
    passed: the columns `PASSED`, a row for each measurement and reason.
    """

    rows: pd.DataFrame
    passed: pd.DataFrame


def select(
    records: Sequence[RunRecord],
    table: str,
    *,
    moments: Moments = "all",
    variants: bool = False,
    by: Sequence[str] = (),
) -> Selection:
    """The rows of a table that count, of all these runs.

    Args:
        records: runs; what of them is read is up to them, see `RunRecord.only`.
        table: a table's name.
        moments: all; or each run's last moment that was measured; or `curve`: every unit over training, from one
            measurement that has several moments.
        variants: whether measurements with other settings than the study's come after these, instead of not at all.
        by: further columns that make a unit, such as `index` where images are shown one by one.
    """
    study = study_of(table)
    parts, passed = [], []
    for ranking in rank(records, table, variants=variants):
        found = []
        for source, excluded in [*((source, "") for source in ranking.sources), *ranking.passed]:
            rows, damage = _read(source, table)
            short = "one moment is no curve" if moments == "curve" and rows["step"].nunique() < 2 else ""
            if reason := damage or excluded or short:
                passed.append(_passed(source, table, rows, reason))
            elif len(rows):
                found.append((source, rows))
        if found:
            own, outranked = _best(found, table, [*study.tables[table], *by], moments)
            parts.append(own)
            passed += outranked
    rows = pd.concat(parts, ignore_index=True) if parts else _no_rows(table)
    return Selection(rows, pd.DataFrame(passed, columns=PASSED))


def rank(records: Sequence[RunRecord], table: str, *, variants: bool = False) -> list[Ranking]:
    """The measurements of each run that have the table, by the rule's points 2 to 5 and 7; a ranking for each run."""
    study = study_of(table)
    found = [_candidates(record, table, study) for record in records]
    counts = Counter(
        (record.identity["experiment"], kind, one)
        for record, (_, commands, _) in zip(records, found, strict=True)
        for kind, one in {(_kind(study, source), _canonical(study, source)) for source in commands}
    )
    rankings = []
    for record, (probes, commands, passed) in zip(records, found, strict=True):
        experiment = record.identity["experiment"]
        kept: list[tuple[Source, str]] = []
        others: list[tuple[Source, str]] = []
        by_kind: dict[str, list[Source]] = defaultdict(list)
        for source in commands:
            by_kind[_kind(study, source)].append(source)
        for kind, group in by_kind.items():
            if study.by_probe and probes:
                model = probes[0]
            else:
                seeds = {source.name: counts[experiment, kind, _canonical(study, source)] for source in group}
                model = min(group, key=lambda source: (-seeds[source.name], source.finished, source.name))
            for source in group:
                difference = _difference(study, source, model)
                (others if difference else kept).append((source, f"other settings than {model.name}: {difference}"))
        kept.sort(key=lambda one: (one[0].finished, one[0].name), reverse=True)
        main = [source for source, _ in kept]
        sources = [*probes, *main] if study.by_probe else [*main, *probes]
        if variants:
            sources, others = [*sources, *(source for source, _ in others)], []
        rankings.append(Ranking(sources, [*passed, *others]))
    return rankings


def main_margins(rows: pd.DataFrame, *, every_estimator: bool = False) -> pd.DataFrame:
    """Of one run's rows of a table of margins those that stand for it: in R^d, or inside the box where only that was
    measured, by the run's own estimator, which comes first, or by `every_estimator`."""
    own = rows if every_estimator or rows.empty else rows[rows["estimator"] == rows["estimator"].iloc[0]]
    return own[own["clipped"] == bool(own["clipped"].all())]


def passed_over(records: Sequence[RunRecord], tables: Iterable[str] = tuple(TABLES)) -> pd.DataFrame:
    """What was passed over in these tables, the columns `PASSED`."""
    parts = [select(records, table).passed for table in tables]
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=PASSED)], ignore_index=True)


def in_words(passed: pd.DataFrame) -> list[str]:
    """A line for each experiment, measurement and reason: whose rows of which tables do not count, and why."""
    groups: dict[tuple[str, str, str], tuple[set[str], set[int]]] = defaultdict(lambda: (set(), set()))
    for row in passed.to_dict("records"):
        tables, seeds = groups[row["experiment"], row["measurement"], row["reason"]]
        tables.add(row["table"])
        seeds.add(row["seed"])
    return [
        f"{experiment}, seed {', '.join(map(str, sorted(seeds)))}: {', '.join(sorted(tables))} of {measurement} "
        f"({reason.replace(';', ',')})"
        for (experiment, measurement, reason), (tables, seeds) in groups.items()
    ]


def _candidates(
    record: RunRecord, table: str, study: Study
) -> tuple[list[Source], list[Source], list[tuple[Source, str]]]:
    """Those of one run that have the table: the probes' (one at most), commands', and what is passed over at sight."""

    def there(source: Source) -> bool:
        return source.folder.has_table(table)

    if record.chosen is not None:
        return [], [source for source in [Source(record, record.chosen)] if there(source)], []
    probes = [source for source in [Source(record, record.run)] if there(source)]
    if not study.by_command:
        return probes, [], []
    commands, passed = [], []
    for source in (Source(record, folder) for folder in record.measurements(unfinished=True)):
        if not there(source):
            continue
        try:
            config = source.config(study)
            state = source.folder.state()
        except RunError as error:
            passed.append((source, one_line(error)))
            continue
        foreign = [f"{key}={config[key]}" for key in study.other if config.get(key) is not None]
        if state != "finished":
            passed.append((source, f"not finished ({state})"))
        elif foreign:
            passed.append((source, f"another quantity: {', '.join(foreign)}"))
        else:
            commands.append(source)
    return probes, commands, passed


def _kind(study: Study, source: Source) -> str:
    config = source.config(study)
    return json.dumps([config.get(key) for key in study.apart], default=str)


def _settings(study: Study, source: Source) -> dict[str, Any]:
    """The settings that decide the rows of a unit; None, a group of None alone and a missing one are the same."""
    left_out = NO_SETTINGS.union(study.which, study.apart)
    set_ = ((key, _without_none(value)) for key, value in source.config(study).items() if key not in left_out)
    return {key: value for key, value in set_ if value is not None}


def _without_none(value: Any) -> Any:
    """A group of settings without those that are None; None where none is left."""
    if not isinstance(value, Mapping):
        return value
    kept = {key: left for key, one in value.items() if (left := _without_none(one)) is not None}
    return kept or None


def _canonical(study: Study, source: Source) -> str:
    return json.dumps(_settings(study, source), sort_keys=True, default=str)


def _difference(study: Study, source: Source, model: Source) -> str:
    """The settings of the two that differ, in words; empty where none does."""
    own, theirs = _settings(study, source), _settings(study, model)
    differing = [key for key in sorted({*own, *theirs}) if own.get(key) != theirs.get(key)]
    return ", ".join(f"{key} {_short(own.get(key))}, not {_short(theirs.get(key))}" for key in differing)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", "otherwise"))
    return one_line(value)


def _is(column: pd.Series, value: Any) -> pd.Series:
    """Where a column has a setting's value (of several stages, the first one's), or has none."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, (list, dict)):
        # of no setting of ours
        return pd.Series(False, column.index)
    return column.isna() | (column == first) if first is not None else pd.Series(True, column.index)


def _read(source: Source, table: str) -> tuple[pd.DataFrame, str]:
    """A measurement's rows, and what is wrong with its file."""
    try:
        return source.table(table), ""
    except RunError as error:
        return _no_rows(table), one_line(error)


def _best(
    found: Sequence[tuple[Source, pd.DataFrame]], table: str, unit: Sequence[str], moments: Moments
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """One run's rows, each unit from the first measurement that has it; what the others had on the same units."""
    together = pd.concat([rows.assign(**{ORDER: number}) for number, (_, rows) in enumerate(found)], ignore_index=True)
    key = [column for column in unit if column != "step" or moments != "curve"]
    # of one measurement there is nothing to choose
    several = key and len(found) > 1
    best = together.groupby(key, dropna=False)[ORDER].transform("min") if several else together[ORDER].min()
    passed = []
    for (number, winner), rows in together.assign(**{WINNER: best})[together[ORDER] > best].groupby([ORDER, WINNER]):
        reason = _outranked(found[number][0], found[winner][0])
        passed.append(_passed(found[number][0], table, rows, reason))
    kept = together[together[ORDER] == best]
    if moments == "last":
        last = kept["step"].max()
        before = kept[kept["step"] < last]
        ends = kept[kept["step"] == last]
        units = [column for column in unit if column != "step"]
        lost = before[~_keys(before, units).isin(_keys(ends, units))]
        for number, rows in lost.groupby(ORDER):
            passed.append(
                _passed(found[number][0], table, rows, f"of step {rows['step'].max()}, before the last, {last}")
            )
        kept = ends
    # whichever measurement they are from, rows come in the order of training
    return kept.drop(columns=ORDER).sort_values("step", kind="stable"), passed


def _keys(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    return pd.Series([tuple(map(str, one)) for one in rows[list(columns)].to_numpy(object)], rows.index, dtype=object)


def _outranked(source: Source, winner: Source) -> str:
    if winner.name == PROBE:
        return "the probe measured the same over the whole training"
    if source.name == PROBE:
        return f"{winner.name}, a command, measured the same"
    return f"{winner.name} measured the same, and comes first"


def _passed(source: Source, table: str, rows: pd.DataFrame, reason: str) -> dict[str, Any]:
    about = {column: source.record.identity[column] for column in ("experiment", "seed", "dataset")}
    return {**about, "table": table, "measurement": source.name, "num_rows": len(rows), "reason": reason}


def _no_rows(table: str) -> pd.DataFrame:
    kinds = {**dict.fromkeys([*IDENTITY, "measurement"], "str"), "seed": "int"}
    kinds |= {column.name: column.kind for column in TABLES[table].columns}
    kinds |= {f"is_main_{column}": "bool" for column in study_of(table).main if column in kinds}
    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})
