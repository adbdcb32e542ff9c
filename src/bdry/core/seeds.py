"""Every random draw is a function of (seed, purpose, counters): nothing depends on what was drawn before.

A run that is killed and resumed therefore needs no generator's state, and switching one purpose off leaves the
others' draws as they were. Draws are made on the CPU, so that they are the same on every device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one purpose, as in `derive(0, "order", epoch)`."""
    text = "/".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A CPU generator at the start of the stream of (seed, purpose, counters)."""
    return torch.Generator().manual_seed(derive(seed, purpose, *counters))


@contextmanager
def seeded_globally(seed: int) -> Iterator[None]:
    """torch's global CPU generator seeded inside, as it was afterwards: for layers that take no generator.

    Those of GPUs in use are seeded too.
    """
    # torch.manual_seed also notes the call stack for GPUs that are not in use, which takes longer than a small step
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
