"""`bdry reproduce paper=karimi2020` as a user types it, at the smallest scale."""

from __future__ import annotations

import pandas as pd
import pytest

from bdry.claims import CLAIMS
from bdry.report import FIGURES


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_smoke_study_ends_with_figures_and_claims_and_is_done_only_once(bdry, tmp_path):
    words = ["reproduce", "paper=karimi2020", "scale=smoke"]
    first = bdry(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "reproduce" / "karimi2020-smoke"
    verdicts = pd.read_csv(folder / "claims.csv")
    assert list(verdicts["claim"]) == list(CLAIMS["karimi2020"])
    # what two fully connected networks and four directions cannot speak of
    untested = set(verdicts.loc[verdicts["verdict"] == "not tested", "claim"])
    assert {"K3", "K8"} <= untested
    assert untested <= {"K3", "K8", "K5", "K6"}
    drawn = sorted((folder / "figures").iterdir())
    for name in FIGURES["karimi2020"]:
        assert any(path.name.startswith(f"{name}-") for path in drawn), name
    tables = {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")}
    pictures = {path: path.read_bytes() for path in drawn if path.suffix == ".png"}

    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is finished already") == 8
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")} == tables
    assert {path: path.read_bytes() for path in pictures} == pictures
