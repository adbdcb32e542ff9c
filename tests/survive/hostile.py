"""What would show that something of a stranger's was executed."""

from __future__ import annotations

import os

import pytest

MARK = "executed"


class Payload:
    """Makes the folder `executed` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (MARK,)


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARK).exists()
