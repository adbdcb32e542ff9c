"""Progress of training: a bar with rate and remaining time in a terminal, a line a minute anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 60.0


class TrainingProgress:
    """Counts optimiser steps; `say` tells what else is going on. A context manager."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.done = self.first = 0
        self.loss = float("nan")
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
        """A resumed run starts with `done` steps done."""
        self.done = self.first = done
        self.bar.update(self.task, completed=done)

    def __enter__(self) -> TrainingProgress:
        self.started = self.last_line = time.monotonic()
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, loss: float) -> None:
        """One optimiser step is done; `loss` is its batch's."""
        self.done += 1
        self.loss = loss
        self.bar.update(self.task, completed=self.done, rate=f"{self._rate():.1f} steps/s", doing=f"loss {loss:.3f}")
        if not self.console.is_terminal and time.monotonic() - self.last_line >= LINE_EVERY_S:
            self._line()

    def say(self, doing: str) -> None:
        """What is going on instead of a step, such as a measurement."""
        self.bar.update(self.task, doing=doing)

    def _rate(self) -> float:
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def _line(self) -> None:
        self.last_line = time.monotonic()
        left = (self.total - self.done) / max(self._rate(), 1e-9) / 60
        self.console.print(
            f"{self.name}: step {self.done} of {self.total}, loss {self.loss:.3f}, about {left:.0f} min left",
            soft_wrap=True,
            highlight=False,
        )
