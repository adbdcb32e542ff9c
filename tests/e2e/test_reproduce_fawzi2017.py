"""`bdry reproduce paper=fawzi2017 scale=smoke`: every figure and verdict, and nothing trained or measured twice."""

from __future__ import annotations

import pandas as pd
import pytest

from bdry.claims import CLAIMS
from bdry.report import FIGURES
from bdry.runs import TABLES, find_runs, read_table


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_smoke_study_ends_with_figures_and_claims_and_is_done_only_once(bdry, tmp_path):
    words = ["reproduce", "paper=fawzi2017", "scale=smoke", "launch=joblib"]
    first = bdry(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "reproduce" / "fawzi2017-smoke"
    verdicts = pd.read_csv(folder / "claims.csv")
    assert list(verdicts["claim"]) == list(CLAIMS["fawzi2017"])
    # pairs, points and images of one seed are enough for these; 10 pairs are too few for C1 and C2
    tested = set(verdicts.loc[verdicts["verdict"] != "not tested", "claim"])
    assert {"C3", "C4", "C5", "C8"} <= tested
    records, _ = find_runs([str(folder)])
    for record in records:
        places = {place.name.partition("-")[0]: place for place in record.measurements()}
        assert set(places) == {"regions", "curvature", "shared", "detect"}
        summary = read_table(places["detect"].table_path("detect_summary"), TABLES["detect_summary"])
        # a network that adversarial training left constant has no image to tell
        assert (summary["num_images"] > 0).all(), record.identity
    drawn = sorted((folder / "figures").iterdir())
    for name in FIGURES["fawzi2017"]:
        assert any(path.name.startswith(f"{name}-") for path in drawn), name
    tables = {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")}
    kept = {path: path.read_bytes() for path in [*drawn, folder / "claims.csv"] if path.suffix != ".pdf"}

    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")} == tables
    assert {path: path.read_bytes() for path in kept} == kept
