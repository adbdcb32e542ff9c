"""One measurement from a classifier to its folder: piece by piece, each logged last, so that a kill loses one piece."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.moment import Moment
from ..data import Dataset
from ..errors import RunError
from ..runs import TABLES, Measurement
from ..studies.measured import WHOLE, Piece, Study
from .opened import Opened
from .progress import Counting
from .stopping import Stop

LOG = "batches"


class MeasuringWork:
    """One measurement in the making."""

    def __init__(self, folder: Measurement, opened: Opened, study: Study, config: dict[str, Any]) -> None:
        self.folder, self.opened, self.study, self.config = folder, opened, study, config
        self.dataset: Dataset = opened.dataset
        # a checkpoint that does not fit is refused before the folder is made
        self.loaded = opened.moments[0].step
        self.classifier = opened.load(self.loaded)
        total = sum(map(study.size, opened.moments))
        self.progress = Counting(folder.name, total, study.unit)
        # rows of each table by the end of the last piece, and sizes of pieces by step and part
        self.rows: Counter[str] = Counter()
        self.done: dict[int, Counter[str]] = {moment.step: Counter() for moment in opened.moments}

    def resume(self) -> dict[str, Any]:
        """Finds the last piece that was written whole, and drops what came after it."""
        log = self.folder.writer(LOG)
        kept = 0
        if log.num_rows():
            written = {name: self.folder.writer(name).num_rows() for name in TABLES}
            for row in self.folder.table(LOG).itertuples():
                rows = _counts(row.rows, log.path)
                if row.step not in self.done or any(count > written[name] for name, count in rows.items()):
                    break
                kept, self.rows = kept + 1, rows
                self.done[row.step][row.part] += row.size
        for name in TABLES:
            self.folder.writer(name).keep(kept if name == LOG else self.rows[name])
        done = sum(counted.total() for counted in self.done.values())
        self.progress.begin_at(done)
        if done:
            total, unit = self.progress.total, self.progress.unit
            self.progress.note(f"{self.folder.name}: going on after {done} of {total} {unit}s")
        return {}

    def go_on(self, stop: Stop) -> None:
        """Measures the pieces that are missing."""
        for moment in self.opened.moments:
            done = self.done[moment.step]
            if done.total() >= self.study.size(moment):
                continue
            if self.loaded != moment.step:
                self.loaded, self.classifier = moment.step, self.opened.load(moment.step)
            self.progress.say(f"step {moment.step}")
            started = time.monotonic()
            pieces = self.study.pieces(self.classifier, moment, done)
            with self.progress.looks_through(self.classifier):
                while (piece := _next(pieces, stop)) is not None:
                    self._write(moment, piece, time.monotonic() - started)
                    stop.obey()
                    started = time.monotonic()

    def finish(self) -> None:
        """Sums up and draws."""
        self.study.finish(self.folder)

    def _write(self, moment: Moment, piece: Piece, seconds: float) -> None:
        for name, arrays in piece.found.arrays.items():
            self.folder.write_arrays(name, moment.step, arrays)
        for name, rows in piece.found.tables.items():
            self.folder.writer(name).append(rows)
            self.rows[name] += len(rows)
        row = {
            "step": moment.step,
            "epoch": moment.epoch,
            "part": piece.part,
            "size": piece.size,
            "rows": " ".join(f"{name}={count}" for name, count in sorted(self.rows.items())) or "none",
            "seconds": seconds,
        }
        self.folder.writer(LOG).append(pd.DataFrame([row]))
        where = f"step {moment.step}" if piece.part == WHOLE else f"step {moment.step}, {piece.part}"
        self.progress.count(piece.size, where)


def _next(pieces: Iterator[Piece], stop: Stop) -> Piece | None:
    with stop.at_once():
        return next(pieces, None)


def _counts(text: str, path: Path) -> Counter[str]:
    """The column `rows` of the log; `RunError` where it is none."""
    words: Sequence[str] = () if text == "none" else text.split(" ")
    counts: Counter[str] = Counter()
    for word in words:
        name, _, count = word.partition("=")
        if name not in TABLES or not count.isdecimal() or len(count) > 12:
            raise RunError(f"{path}: damaged ({word!r} is no number of rows); delete the folder to start again")
        counts[name] = int(count)
    return counts
