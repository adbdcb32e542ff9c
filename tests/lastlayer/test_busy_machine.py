"""A busy machine changes no number: budgets are counted in operations, never in seconds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

# budgets so small that they bind: no comparator is there to settle what the untrained network does not
WORDS = [
    *("train", "dataset=blobs", "training.epochs=1", "probe=[svm]", "threads=1"),
    *("probe.svm.variants=[S1,S3]", "probe.svm.max_work=0.002"),
]
# the tables that hold what a clock says
TIMED = {"timings.csv", "svm_timings.csv"}


def tables_of(folder: Path) -> dict[str, bytes]:
    """What a fresh run there writes into its tables, but for the timed ones."""
    folder.mkdir()
    command = [sys.executable, "-m", "bdry", *WORDS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_bytes() for path in folder.glob("outputs/runs/*/seed=0/tables/*.csv")}
    assert set(found) >= TIMED
    return {name: text for name, text in found.items() if name not in TIMED}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_busy_loops_change_no_byte_of_a_run(tmp_path):
    alone = tables_of(tmp_path / "alone")
    rows = pd.read_csv(io.BytesIO(alone["svm_convergence.csv"]))
    # the budget did bind, and the rows say so
    assert (rows["status"] == "unresolved").any()
    assert not rows.loc[rows["status"] == "unresolved", "converged"].any()
    loops = [
        subprocess.Popen([sys.executable, "-c", f"import os; os.nice(5)\nwhile os.getppid() == {os.getpid()}: pass"])
        for _ in range(8)
    ]
    try:
        busy = tables_of(tmp_path / "busy")
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert busy == alone
