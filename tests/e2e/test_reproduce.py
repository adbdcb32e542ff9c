"""`bdry reproduce` as a user types it: a paper's study from nothing to its claims, and again without training."""

from __future__ import annotations

import pandas as pd
import pytest

from bdry.claims import CLAIMS
from bdry.studies.figures import FIGURES

# of each paper's claims some that its smoke study can speak of, and some that it cannot: other data sets, more pairs
STUDIES = [
    pytest.param("mickisch2020", {"C1", "C4"}, {"C7", "F5", "F7"}, marks=pytest.mark.slow),
    pytest.param("li2018", {"C1w", "R4"}, set(), marks=pytest.mark.long),
    pytest.param("karimi2020", {"K1", "K4", "K11"}, {"K3", "K8"}, marks=pytest.mark.long),
    pytest.param("fawzi2017", {"C3", "C4", "C5", "C8"}, set(), marks=pytest.mark.long),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("paper", "tested", "untested"), STUDIES)
def test_a_smoke_study_ends_with_figures_and_claims_and_is_done_only_once(bdry, tmp_path, paper, tested, untested):
    words = ["reproduce", f"paper={paper}", "scale=smoke", "launch=joblib"]
    first = bdry(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "reproduce" / f"{paper}-smoke"
    verdicts = pd.read_csv(folder / "claims.csv")
    assert set(verdicts["claim"]) == set(CLAIMS[paper])
    assert set(verdicts["verdict"]) <= {"supported", "contradicted", "undecided", "not run"}
    speaks = verdicts["verdict"] != "not run"
    assert tested <= set(verdicts.loc[speaks, "claim"])
    assert untested <= set(verdicts.loc[~speaks, "claim"])
    drawn = sorted((folder / "figures").iterdir())
    assert set(FIGURES[paper]) <= {path.stem.partition("-")[0] for path in drawn}
    kept = {path: path.read_bytes() for path in [*drawn, *folder.glob("claims.*")] if path.suffix != ".pdf"}
    tables = {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")}

    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")} == tables
    assert {path: path.read_bytes() for path in kept} == kept


def test_mistakes_are_answered_in_a_line(bdry, tmp_path):
    for words, line in (
        (["paper=mickish2020"], "did you mean paper=mickisch2020?"),
        (["scale=gpu"], "no such scale, did you mean scale=cpu?"),
        (["scale=smoke", "overrides=[training.epochz=1]"], "did you mean training.epochs?"),
    ):
        result = bdry("reproduce", *words, cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert line in result.stderr
        assert "Traceback" not in result.stderr
