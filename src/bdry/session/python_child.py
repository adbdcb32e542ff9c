"""Starting bdry in a process of its own. The current folder may be a stranger's: no Python is imported from it.

A signal that ends this process ends its children first, each with its state saved.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from ..errors import StoppedError

# python -c puts the current folder first on sys.path, as an empty name; sys itself is built in
BDRY = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; sys.argv[0] = 'bdry'; "
    "from bdry.cli import main; sys.exit(main())"
)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# a terminal gives its signal to all processes of a command: a child that is still there after so long has not had it
GRACE_S = 3.0

_running: set[subprocess.Popen[bytes]] = set()
# the signals that have come
_asked: list[int] = []


def keep_out_current_folder() -> None:
    """Has every Python that this process starts, and those they start, leave the current folder out of `sys.path`.

    Python 3.10 has no such switch: there it holds for `run_bdry` alone.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def run_bdry(words: Sequence[str]) -> int:
    """Runs `bdry <words>` and waits for it; its exit code.

    Raises:
        KeyboardInterrupt: SIGINT has come meanwhile; the child has ended.
        StoppedError: SIGTERM has; the child has ended.
    """
    keep_out_current_folder()
    with ending_together():
        child = subprocess.Popen([sys.executable, "-c", BDRY, *words])
        _running.add(child)
        try:
            code = child.wait()
        finally:
            _running.discard(child)
        obey()
    return code


@contextmanager
def ending_together() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM reach the children too, and this process once they have ended (`obey`).

    Within another such block, or in a thread, where Python installs no handlers, nothing happens.
    """
    replaced = {}
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is not _ask:
        # what is ignored, as of a command behind a shell's &, stays so
        numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        replaced = {number: signal.signal(number, _ask) for number in numbers}
    try:
        obey()
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        if replaced:
            _asked.clear()


def obey() -> None:
    """Raises what stands for the signal that has come, if any."""
    if signal.SIGINT in _asked:
        raise KeyboardInterrupt
    if _asked:
        raise StoppedError(f"stopped by {signal.Signals(_asked[0]).name}; the same command goes on")


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    passing = threading.Timer(GRACE_S, _pass_on, args=(number,))
    passing.daemon = True
    passing.start()


def _pass_on(number: int) -> None:
    for child in [*_running]:
        child.send_signal(number)
