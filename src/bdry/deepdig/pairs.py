"""Ordered pairs of classes (source, target): what DeepDIG works on."""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[int, int]
"""The source's class and the target's."""


def all_pairs(num_classes: int) -> list[Pair]:
    """Every ordered pair of different classes: K (K - 1) of them, by source and then by target.

    Args:
        num_classes: K, at least 2.
    """
    return [(s, t) for s in range(num_classes) for t in range(num_classes) if s != t]


def both_directions(pairs: Sequence[Sequence[int]]) -> list[Pair]:
    """Each pair (s, t) followed by (t, s), as the paper runs both; none twice.

    Args:
        pairs: (source, target) each.
    """
    return list(dict.fromkeys(direction for s, t in pairs for direction in ((s, t), (t, s))))


def checked_pairs(pairs: Sequence[Sequence[int]], num_classes: int) -> list[Pair]:
    """The pairs as tuples, none twice, in their order.

    Args:
        pairs: (source, target) each.
        num_classes: K; classes are 0 ... K - 1.

    Raises:
        ValueError: there is none, or one is not two different classes.
    """
    if not pairs:
        raise ValueError("pairs=[]: name at least one pair of classes, such as pairs=[[1,2]], or pairs=all")
    for pair in pairs:
        shown = "[" + ",".join(str(label) for label in pair) + "]"
        if len(pair) != 2:
            raise ValueError(f"pairs: {shown} is not a pair; a pair is [source,target]")
        if pair[0] == pair[1]:
            raise ValueError(f"pairs: {shown} is one class twice; a boundary lies between two")
        for label in pair:
            if not 0 <= label < num_classes:
                raise ValueError(f"pairs: {shown}: there is no class {label}, only 0 to {num_classes - 1}")
    return list(dict.fromkeys((pair[0], pair[1]) for pair in pairs))
