"""The command line as a user types it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Bdry = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bdry() -> Bdry:
    """`bdry(*words, cwd=folder)` runs the command there and gives the finished process."""

    def run(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bdry", *words]
        environment = {**os.environ, **(env or {})}
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, env=environment)

    return run
