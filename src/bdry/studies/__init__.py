"""Studies: each measures one thing of a network, in a folder of its own.

<what>/settings.py   what can be set, and the command's config; no torch
<what>/tables.py     the tables and arrays that it fills; no torch
<what>/probe.py      the probe that fills them, with its glue beside it
<what>/figures.py    its figures, or a folder of them; no torch

A new folder needs no list: it is found by its name.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def import_all(part: str) -> list[ModuleType]:
    """The module `part` (settings, tables, probe or figures) of every study."""
    studies = [found.name for found in pkgutil.iter_modules(__path__) if found.ispkg]
    return [importlib.import_module(f"{__name__}.{study}.{part}") for study in studies]
