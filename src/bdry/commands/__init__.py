"""One file a command: unpacks the typed config into plain arguments and calls the floors below.

The commands that measure a classifier have one file, `measure`.
"""

from __future__ import annotations

from ..conf import COMMANDS
from ..settings.run_task import Checkpoints

MEASURING = tuple(name for name, (config, _) in COMMANDS.items() if issubclass(config, Checkpoints))


def module_of(command: str) -> str:
    """The module of a command."""
    return f"bdry.commands.{'measure' if command in MEASURING else command}"
