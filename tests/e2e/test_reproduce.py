"""`bdry reproduce` as a user types it: a paper's study from nothing to its claims, and again without training."""

from __future__ import annotations

import pandas as pd
import pytest

from bdry.claims import CLAIMS
from bdry.report import FIGURES


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_smoke_study_ends_with_figures_and_claims_and_is_done_only_once(bdry, tmp_path):
    words = ["reproduce", "paper=mickisch2020", "scale=smoke"]
    first = bdry(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "reproduce" / "mickisch2020-smoke"
    verdicts = pd.read_csv(folder / "claims.csv")
    assert list(verdicts["claim"]) == list(CLAIMS["mickisch2020"])
    assert set(verdicts["verdict"]) <= {"holds", "does not hold", "not tested"}
    # the only claims that a study on digits cannot speak of: three controls, MNIST and Fashion-MNIST
    assert {"C7", "F5", "F7"} <= set(verdicts.loc[verdicts["verdict"] == "not tested", "claim"])
    assert set(verdicts.loc[verdicts["verdict"] != "not tested", "claim"]) >= {"C1", "C4"}
    drawn = sorted((folder / "figures").iterdir())
    for name in FIGURES["mickisch2020"]:
        assert any(path.name.startswith(name) for path in drawn), name
    kept = {path: path.read_bytes() for path in [*drawn, folder / "claims.csv", folder / "claims.md"]}
    tables = {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")}

    again = bdry(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is finished already") == 10
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("tables/*.csv")} == tables
    for path, content in kept.items():
        if path.suffix != ".pdf":
            assert path.read_bytes() == content, path.name


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
