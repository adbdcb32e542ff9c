"""The command that made a run, out of a provenance that a stranger may have written. No torch here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from ..conf import groups
from ..settings import TrainConfig


def settings_given(entry: dict[str, Any]) -> list[str] | None:
    """What was typed after `bdry train` at a start, or None where it is not such a list.

    None too for what `bdry train` has no setting for: Hydra's own keys and flags can name code to be called, a group's
    option any file, and an interpolation, however escaped, reads the environment.
    """
    words = entry.get("overrides")
    if not isinstance(words, list) or not all(isinstance(word, str) and _is_setting(word) for word in words):
        return None
    return words


def command(words: Sequence[str]) -> str:
    """The command line, quoted for a shell."""
    return shlex.join(["bdry", "train", *words])


def made_by(entry: dict[str, Any]) -> str:
    """The command line of a start, or that it is not known."""
    words = settings_given(entry)
    return "by a command that provenance.json does not say" if words is None else command(words)


def _is_setting(word: str) -> bool:
    match = re.fullmatch(r"(\+\+?)?([A-Za-z_]\w*)([.\w/-]*)=(.*)", word, flags=re.ASCII)
    if match is None or not word.isprintable() or "${" in re.sub(r"[\\'\"\s]", "", word):
        return False
    _, first, further, value = match.groups()
    if first in groups("train") and not further.startswith("."):
        return re.fullmatch(r"[\w./,\[\]-]*", value) is not None and ".." not in PurePath(value).parts
    return first in {declared.name for declared in fields(TrainConfig)}
