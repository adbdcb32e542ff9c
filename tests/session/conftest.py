"""The modules that a user brings, in the current folder."""

import shutil
import sys
from pathlib import Path

import pytest

MODULES = Path(__file__).with_name("modules.py")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder with modules.py in it, imported anew in each test."""
    shutil.copy(MODULES, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "modules", raising=False)
    yield tmp_path
    sys.modules.pop("modules", None)
