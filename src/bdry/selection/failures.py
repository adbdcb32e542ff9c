"""Which ordered pairs of classes have no borderline instance, by name and with the reason."""

from __future__ import annotations

import pandas as pd

PAIR = ["source", "target"]
NONE_RIGHT, NONE_FOUND = "no image of the first class is predicted rightly", "no bisection succeeded"


def without_instances(rows: pd.DataFrame) -> str:
    """The pairs as in `4→9 of seed 2 (stage 1: collapsed); 0→8 (no bisection succeeded)`; empty where none is.

    Args:
        rows: of the table `generation`, of one generator and one network or several seeds of one; where there are
            several, it is told of which.
    """
    lost = rows[rows["num_success"] == 0]
    reasons = lost["status"].where(lost["status"] != "ok", NONE_FOUND).where(lost["num_correct"] > 0, NONE_RIGHT)
    every = set(rows["seed"]) if "seed" in rows else set()
    named = []
    for why, part in lost.groupby(reasons, sort=True):
        by_seeds: dict[tuple[int, ...], list[str]] = {}
        for (source, target), of_pair in part.groupby(PAIR, sort=True):
            seeds = tuple(sorted(set(of_pair["seed"]))) if len(every) > 1 else ()
            by_seeds.setdefault(seeds, []).append(f"{source}→{target}")
        pairs = [", ".join(found) + _of(seeds, len(every)) for seeds, found in by_seeds.items()]
        named.append(f"{', '.join(pairs)} ({why})")
    return "; ".join(named)


def _of(seeds: tuple[int, ...], num_seeds: int) -> str:
    if not seeds:
        return ""
    if len(seeds) == num_seeds:
        return " of all seeds"
    return f" of seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
