"""Stopping at a good moment: SIGTERM and SIGUSR2 set a flag, the work saves its state at the next batch and leaves.

Where a piece of work only computes, which may take minutes, a signal ends it there and then: the piece is done again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..errors import StoppedError, reason

# SIGUSR2 is the notice that submitit asks SLURM for before a job's time is up; Windows has no such signal
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name)]


class _AtOnce(BaseException):
    """Raised by the handler in the midst of computing; no `except Exception` on the way takes it for a failure."""


class Stop:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.replaced: dict[int, Any] = {}
        self.computing = False

    @property
    def requested(self) -> bool:
        """Whether a signal has come: save soon, then `obey`."""
        return self.signal is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler."""
        self.signal = number
        if not self.computing:
            return
        if callable(self.replaced.get(number)):
            # a launcher's handler, which may let the work go on where it is
            self.obey()
        else:
            raise _AtOnce

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around what computes and writes nothing: a signal ends it where it is, before that one that has come."""
        self.computing = True
        try:
            self.obey()
            yield
        finally:
            self.computing = False

    def obey(self, after: str = "") -> None:
        """Called after saving. Where a signal has come, it goes to the handler that a launcher had installed before us.

        Raises `StoppedError` where there was none, which says what the signal came `after`. submitit's requeues the job
        and exits, or lets it go on.
        """
        if self.signal is None:
            return
        number, self.signal = self.signal, None
        before = self.replaced.get(number)
        if callable(before):
            before(number, None)
        else:
            raise StoppedError(f"{after}stopped by {signal.Signals(number).name}; the same command goes on")


@contextmanager
def stopping() -> Iterator[Stop]:
    """Inside, the signals only set the flag of what is yielded; their handlers are as they were afterwards.

    Work that an error ends obeys before it leaves: a signal that is forgotten would not stop the sweep around the work.
    """
    stop = Stop()
    # Python delivers signals to the main thread alone, and lets no other install handlers
    if threading.current_thread() is threading.main_thread():
        stop.replaced = {number: signal.signal(number, stop.receive) for number in SIGNALS}
    try:
        yield stop
    except _AtOnce:
        stop.obey()
    except Exception as error:
        stop.obey(after=f"{reason(error)}; ")
        raise
    finally:
        for number, handler in stop.replaced.items():
            signal.signal(number, handler)
