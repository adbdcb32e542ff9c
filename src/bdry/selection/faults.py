"""Which of several runs make a figure or a verdict impossible, so that it is made of the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

import pandas as pd

from ..errors import RunError, reason

T = TypeVar("T")
# what tables raise that fit their schemas and yet are no measurements: somebody else's, or edited by hand. The last
# two are pandas' own: of an index with a value twice, and of columns that are no numbers
NO_MEASUREMENTS = (
    RunError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    pd.errors.InvalidIndexError,
    pd.errors.DataError,
)


def fault(make: Callable[[], object]) -> str:
    """Why something cannot be made of the tables that it reads, in words; "" where it can."""
    try:
        make()
    except NO_MEASUREMENTS as error:
        return reason(error)
    return ""


def at_fault(runs: Sequence[T], of: Callable[[Sequence[T]], str]) -> dict[T, str]:
    """The runs to leave out, each with the reason; what is left may be at fault again.

    They are those that are at fault alone. Where none is, as with two runs that do not go together, it is the last of
    the shortest beginning of the list that is at fault.

    Args:
        runs: all of them together are at fault.
        of: the fault of some of them, "" where there is none.
    """
    alone = {run: found for run in runs if (found := of([run]))}
    if alone:
        return alone
    at = bisect_left(range(len(runs)), True, key=lambda last: bool(of(runs[: last + 1])))
    return {run: of(runs[: at + 1]) for run in runs[at : at + 1]}
