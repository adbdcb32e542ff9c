"""The weights that a user names for a module of their own: files, lists and globs, and the step of each."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError


def weights_by_step(named: str | Sequence[str] | None) -> dict[int, Path | None]:
    """The files by the step that the number in their names says, in order; one file, or none, is step 0.

    Several names may differ in one number alone, as `ckpt-10.pt` and `ckpt-200.pt` do: that number is the step.

    Raises:
        ConfigError: a glob fits no file, or the names leave open which step each file is of.
    """
    if named is None:
        return {0: None}
    files = [path for name in ([named] if isinstance(named, str) else named) for path in _files(name, named)]
    twice = sorted({str(path) for path in files if files.count(path) > 1})
    if twice:
        raise ConfigError("weights", named, f"names {twice[0]} twice")
    if len(files) == 1:
        return {0: files[0]}
    parts = {path: re.split(r"(\d+)", path.stem) for path in files}
    first = parts[files[0]]
    for path, words in parts.items():
        if words[::2] != first[::2] or path.suffix != files[0].suffix:
            raise _unclear(named, f"{files[0].name} and {path.name} differ in more than a number")
    differ = [at for at in range(1, len(first), 2) if len({int(words[at]) for words in parts.values()}) > 1]
    if len(differ) != 1:
        which = "several numbers" if differ else "no number"
        raise _unclear(named, f"{files[0].name} and the others differ in {which}")
    steps: dict[int, Path] = {}
    for path, words in parts.items():
        step = int(words[differ[0]])
        if step in steps:
            raise _unclear(named, f"{steps[step].name} and {path.name} are both of step {step}")
        steps[step] = path
    return dict(sorted(steps.items()))


def _files(name: str, named: str | Sequence[str]) -> list[Path]:
    """One file, or those that fit a glob; a file's name may look like one."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = sorted(Path(match) for match in glob.glob(str(path)))
    if not found:
        raise ConfigError("weights", named, f"no file is named like {name}")
    return found


def _unclear(named: str | Sequence[str], why: str) -> ConfigError:
    return ConfigError("weights", named, f"leaves open which step each file is of: {why}; name files alike but for it")
