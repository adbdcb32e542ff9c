"""Progress of long work: a bar with rate and remaining time in a terminal, a line a minute anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

P = TypeVar("P", bound="Counting")

LINE_EVERY_S = 60.0


class Counting:
    """Counts `unit`s such as steps; `say` tells what else is going on. A context manager."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.first = 0
        self.started = self.last_line = time.monotonic()
        self.console = Console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[doing]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(name, total=total, rate="", doing="")

    def begin_at(self, done: int) -> None:
        """What is resumed starts with `done` done."""
        self.done = self.first = done
        self.bar.update(self.task, completed=done)

    def __enter__(self: P) -> P:
        self.started = self.last_line = time.monotonic()
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def count(self, number: int, doing: str) -> None:
        """`number` more are done; `doing` stands beside the rate."""
        self.done += number
        self.bar.update(self.task, completed=self.done, rate=f"{self._rate():.1f} {self.unit}s/s", doing=doing)
        if not self.console.is_terminal and time.monotonic() - self.last_line >= LINE_EVERY_S:
            self._line(doing)

    def say(self, doing: str) -> None:
        """What is going on instead of a step, such as a measurement."""
        self.bar.update(self.task, doing=doing)

    def _rate(self) -> float:
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def _line(self, doing: str) -> None:
        self.last_line = time.monotonic()
        left = (self.total - self.done) / max(self._rate(), 1e-9) / 60
        self.note(f"{self.name}: {self.unit} {self.done} of {self.total}, {doing}, about {left:.0f} min left")

    def note(self, text: str) -> None:
        """A line that stays, above the bar."""
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)


class TrainingProgress(Counting):
    """Counts optimiser steps."""

    def __init__(self, name: str, total: int) -> None:
        super().__init__(name, total, "step")

    def advance(self, loss: float) -> None:
        """One optimiser step is done; `loss` is its batch's."""
        self.count(1, f"loss {loss:.3f}")
