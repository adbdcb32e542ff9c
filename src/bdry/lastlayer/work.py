"""How long a solver may go on: counted in operations, never in seconds, so that a busy machine changes no result."""

from __future__ import annotations

import math

# operations that are one unit of a budget
UNIT = 1e9


class Work:
    """Floating-point operations that a solver has counted, in 1e9, and how many it may count.

    The counts are those of the dense formulas, (N, d) @ (d, K) being 2 N d K: the same on every machine, and a second
    or less each on one core.

    Args:
        limit: Operations in 1e9, above 0; infinity lets the solver end by itself.

    Raises:
        ValueError: `limit` is not above 0.
    """

    def __init__(self, limit: float = math.inf) -> None:
        if not limit > 0:
            raise ValueError(f"work must be above 0 (1e9 operations), not {limit}")
        self.limit = limit
        self.done = 0.0

    def count(self, operations: float) -> None:
        """Adds `operations`, given as a plain number."""
        self.done += operations / UNIT

    @property
    def bounded(self) -> bool:
        """Whether there is a limit."""
        return math.isfinite(self.limit)

    @property
    def over(self) -> bool:
        """Whether nothing more should begin."""
        return self.done >= self.limit

    @property
    def left(self) -> float:
        """Operations that may still be counted, as a plain number."""
        return max(self.limit - self.done, 0.0) * UNIT

    def times(self, operations: float, most: int) -> int:
        """How often something of so many operations may still be done: at least once, at most `most` times."""
        if not self.bounded:
            return most
        return max(1, min(most, int(self.left / max(operations, 1.0))))
