"""What a user's code may change for the whole process: put back, and what was changed is said.

>>> with put_back() as changed:
...     module(images)
>>> changed()                       # ["torch's default dtype"]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


def _set_device(device: torch.device) -> None:
    # that of the CPU is none at all, which costs nothing at each call
    torch.set_default_device(None if device.type == "cpu" else device)


# what is looked at, how, and what puts it back
LOOKED_AT: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _set_device),
    "the working folder": (Path.cwd, os.chdir),
    "sys.stdout": (lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    "sys.stderr": (lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
    "sys.excepthook": (lambda: sys.excepthook, lambda hook: setattr(sys, "excepthook", hook)),
}


@contextmanager
def put_back() -> Iterator[Callable[[], list[str]]]:
    """At the end, all of `LOOKED_AT` is as it was; gives a function that names what differs by now."""
    before = {name: look() for name, (look, _) in LOOKED_AT.items()}

    def changed() -> list[str]:
        return [name for name, value in before.items() if LOOKED_AT[name][0]() != value]

    try:
        yield changed
    finally:
        for name in changed():
            LOOKED_AT[name][1](before[name])
