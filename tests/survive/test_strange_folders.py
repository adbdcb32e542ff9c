"""Python that bdry starts imports nothing from the current folder, which may be a stranger's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bdry
from bdry.session.python_child import BDRY

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 cannot leave the folder out")

SRC = Path(bdry.__file__).parents[1]


@pytest.fixture
def stranger(tmp_path):
    """A folder whose filelock.py leaves a mark, with the check that it has not."""
    (tmp_path / "filelock.py").write_text("open('taken', 'w').close()\nraise SystemExit(0)\n")
    yield tmp_path
    assert not (tmp_path / "taken").exists()


def typed(words, folder, **env):
    """`bdry <words>` as the installed script starts it: without the current folder on its own path."""
    env = {**os.environ, "PYTHONPATH": str(SRC), **env}
    env.pop("PYTHONSAFEPATH", None)
    return subprocess.run([sys.executable, "-c", BDRY, *words], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_workers_of_joblib(stranger, small):
    done = typed(["train", "-m", *small, "seed=0,1", "launch=joblib", "hydra.launcher.n_jobs=2"], stranger)
    assert done.returncode == 0, done.stderr
    assert len(list(stranger.rglob("tables/margins.csv"))) == 2


def test_what_sbatch_starts(stranger, small):
    """Its script starts Python with -m, as the first line here does."""
    place = stranger / "bin"
    place.mkdir()
    for name in ("sbatch", "srun"):
        (place / name).write_text(f"#!/bin/sh\n{sys.executable} -m filelock\ntouch asked\nexit 1\n")
        (place / name).chmod(0o755)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    done = typed(["train", "-m", *small, "seed=0,1", "launch=slurm"], stranger, PATH=path)
    assert done.returncode == 2, done.stderr
    assert (stranger / "asked").exists()
