"""One file a command: unpacks the typed config into plain arguments and calls the floors below.

The commands that measure a classifier have one file, `measure`.
"""

from __future__ import annotations

MEASURING = ("margin", "svm", "deepdig", "regions", "curvature", "shared", "detect")


def module_of(command: str) -> str:
    """The module of a command."""
    return f"bdry.commands.{'measure' if command in MEASURING else command}"
