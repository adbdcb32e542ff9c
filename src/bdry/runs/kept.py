"""Tables that were read before: the figures, verdicts and pages of one command ask for the same ones many times."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pandas as pd

# bytes of all that is kept
MEMORY = 2**28

State = tuple[int, ...]


class KeptTables:
    """The tables that were asked for last, each as long as its file stays as it was.

    Args:
        memory: bytes that they may take together; those that nobody asked for the longest go first.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self.memory = memory
        self._tables: OrderedDict[str, tuple[State, int, pd.DataFrame]] = OrderedDict()
        self._lock = threading.Lock()

    def table(self, place: Path, file: Path, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A copy of a table, which `read` reads where it is not known as its file is now.

        What `read` raises is raised, and nothing kept.

        Args:
            place: where the table is: its file, or its name inside an archive.
            file: the file, or the archive.
            read: reads the table.
        """
        key, before = str(place.absolute()), _state(file)
        with self._lock:
            known = self._tables.get(key)
            if known is not None and known[0] == before:
                self._tables.move_to_end(key)
                return known[2].copy()
        rows = read()
        size = int(rows.memory_usage(deep=True).sum())
        # a file that changed while it was read is read again the next time
        if before and size <= self.memory and _state(file) == before:
            with self._lock:
                self._tables[key] = (before, size, rows.copy())
                self._tables.move_to_end(key)
                while sum(one[1] for one in self._tables.values()) > self.memory:
                    self._tables.popitem(last=False)
        return rows


def _state(file: Path) -> State:
    """What changes with a file's content; empty where there is no file."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


# of this process
KEPT_TABLES = KeptTables()
