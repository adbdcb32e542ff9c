"""How many cores and threads there are, for one process and for workers. No torch here."""

from __future__ import annotations

import os


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads() -> int:
    """CPU threads where no setting says how many: one a core, at most the first number of OMP_NUM_THREADS."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(num_cores(), int(asked)) if asked.isdecimal() and int(asked) > 0 else num_cores()
