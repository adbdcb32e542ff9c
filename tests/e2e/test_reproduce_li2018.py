"""`bdry reproduce paper=li2018 scale=smoke`: every figure and verdict, and nothing trained twice."""

from __future__ import annotations

import pandas as pd
import pytest

from bdry.claims import CLAIMS
from bdry.report import FIGURES


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_smoke_study_ends_with_figures_and_claims_and_is_done_only_once(bdry, tmp_path):
    words = ["reproduce", "paper=li2018", "scale=smoke"]
    first = bdry(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "reproduce" / "li2018-smoke"
    verdicts = pd.read_csv(folder / "claims.csv")
    assert set(verdicts["claim"]) == set(CLAIMS["li2018"])
    tested = set(verdicts.loc[verdicts["verdict"] != "not tested", "claim"])
    # two seeds: few intervals are narrow, but these exist
    assert {"C1w", "R4"} <= tested
    drawn = {path.name.partition("-")[0] for path in (folder / "figures").iterdir()}
    assert drawn >= set(FIGURES["li2018"])
    tables = {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")}
    claims = (folder / "claims.csv").read_bytes()
    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")} == tables
    assert (folder / "claims.csv").read_bytes() == claims
