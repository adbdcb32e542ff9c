"""Progress of long work: a bar with rate and remaining time in a terminal; anywhere else a line as it begins and one a
minute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

P = TypeVar("P", bound="Counting")

LINE_EVERY_S = 60.0
# how often the bar says how many points have gone through the network
LOOKS_EVERY_S = 1.0
# how often the time left is reckoned, and by how much two reckonings in a row may differ to be told
ESTIMATE_EVERY_S = 10.0
AGREEMENT = 1.35
ENOUGH_S = 180.0
LONG_S = 24 * 3600.0


class Estimate:
    """How long counted work will go on, by the rate of the later half of the time so far.

    It is told once two reckonings in a row agree and a twentieth is done, or after three minutes: early ones are wild.
    """

    def __init__(self) -> None:
        # seconds and pieces done, every ten seconds
        self.seen: list[tuple[float, float]] = []
        self.seconds: float | None = None
        self.told = False

    def see(self, done: float, total: int, now: float) -> None:
        """`done` of `total` are done `now`, in seconds of any clock."""
        if self.seen and now < self.seen[-1][0] + ESTIMATE_EVERY_S:
            return
        # what came before the first piece, such as the measurement of initialisation, is no rate
        self.seen.append((now, done))
        begun = self.seen[0][0]
        middle = next(one for one in self.seen if one[0] >= (begun + now) / 2)
        first = middle if middle[1] < done else self.seen[0]
        if first[1] == done:
            return
        before = None if self.seconds is None else self.seconds - (now - self.seen[-2][0])
        self.seconds = (total - done) * (now - first[0]) / (done - first[1])
        ratio = 0.0 if before is None else (self.seconds + ESTIMATE_EVERY_S) / max(before + ESTIMATE_EVERY_S, 1e-9)
        enough = done - self.seen[0][1] >= total / 20 or now - begun >= ENOUGH_S
        self.told = enough and 1 / AGREEMENT < ratio < AGREEMENT

    def words(self, now: float) -> str:
        """As in "about 3 min left"; "" while it is not known, and where what was reckoned has gone by."""
        if self.seconds is None or not self.told:
            return ""
        left = self.seconds - (now - self.seen[-1][0])
        return time_left(left) if left > 0 or self.seconds == 0 else ""


def time_left(seconds: float) -> str:
    """As in "about 3 min left"."""
    minutes = seconds / 60
    if minutes < 1.5:
        return f"about {max(seconds, 1):.0f} s left"
    return f"about {minutes:.0f} min left" if minutes < 120 else f"about {minutes / 60:.0f} h left"


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
            TimeElapsedColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[doing]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(name, total=total, rate="", left="", doing="")
        self.estimate = Estimate()
        self.doing, self.looks, self.shown = "", 0, self.started
        # no line yet
        self.silent = True
        # what would be quicker than what is going to take more than a day
        self.quicker = ""

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
        self.estimate.see(self.done, self.total, time.monotonic())
        left = self.estimate.words(time.monotonic())
        self.bar.update(
            self.task, completed=self.done, rate=f"{self._rate():.1f} {self.unit}s/s", left=left, doing=doing
        )
        self._expect_after_a_minute()
        if not self.console.is_terminal and self._a_minute():
            self._line(doing)

    def say(self, doing: str) -> None:
        """What is going on instead of a step, such as a measurement; without a terminal a line, then one a minute."""
        self.doing = doing
        self.bar.update(self.task, doing=doing)
        if not self.console.is_terminal and (self.silent or self._a_minute()):
            self._line(doing)

    def share(self, part: float) -> None:
        """Which share of the next piece is done."""
        self.estimate.see(self.done + part, self.total, time.monotonic())
        self.bar.update(self.task, completed=self.done + part, left=self.estimate.words(time.monotonic()))
        self._expect_after_a_minute()

    @contextmanager
    def looks_through(self, network: Any) -> Iterator[None]:
        """Tells how many points have gone through the network, an `nn.Module`, while what is going on takes long.

        Not of one that is compiled: with the hook it would be compiled again.
        """
        if network._compiled_call_impl is not None:
            yield
            return

        # a function, which a copy of the network has as well
        def looked(module: object, points: tuple[Any, ...], logits: object) -> None:
            self.looks += len(points[0])
            if time.monotonic() - self.shown < LOOKS_EVERY_S:
                return
            self.shown = time.monotonic()
            doing = f"{self.doing}, {self.looks} points looked at"
            self.bar.update(self.task, doing=doing)
            if not self.console.is_terminal and self._a_minute():
                self._line(doing)

        handle = network.register_forward_hook(looked)
        try:
            yield
        finally:
            handle.remove()

    def _a_minute(self) -> bool:
        return time.monotonic() - self.last_line >= LINE_EVERY_S

    def _rate(self) -> float:
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def _line(self, doing: str) -> None:
        self.last_line, self.silent = time.monotonic(), False
        parts = [f"{self.name}: {self.unit} {self.done} of {self.total}", doing, self.estimate.words(time.monotonic())]
        self.note(", ".join(filter(None, parts)))

    def expect(self, seconds: float) -> None:
        """Says once of work that takes more than a day what would be quicker."""
        if self.quicker and seconds > LONG_S:
            days = f"{seconds / 86400:.0f} days" if seconds > 2 * LONG_S else f"{seconds / 3600:.0f} hours"
            self.note(f"{self.name}: this will take about {days} on this machine; quicker: {self.quicker}")
            self.quicker = ""

    def _expect_after_a_minute(self) -> None:
        """What the first minute of counted work tells."""
        if self.quicker and self.estimate.seconds is not None and time.monotonic() - self.started >= LINE_EVERY_S:
            self.expect(self.estimate.seconds)
            self.quicker = ""

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
