"""`bdry reproduce` as a user types it: a paper's study from nothing to its claims, and again without training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import bdry as bdry_package
from bdry.claims import CLAIMS
from bdry.commands import figures, publish, reproduce, train
from bdry.commands.reproduce import IncompleteError
from bdry.errors import UsageError
from bdry.runs import Run
from bdry.settings import Grid, PublishConfig, ReproduceConfig
from bdry.settings.commands import Measuring, Training
from bdry.studies.figures import FIGURES

# of each paper's claims some that its smoke study can speak of, and some that it cannot: other data sets, more pairs
STUDIES = [
    pytest.param("mickisch2020", {"C1", "C4"}, {"C7", "F5", "F7"}, marks=pytest.mark.long),
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
    redrawn_from_a_publication(bdry, tmp_path, paper, folder)


def redrawn_from_a_publication(bdry, place, paper, folder):
    """Every published figure and verdict comes out byte for byte from the published data."""
    results = place / "results" / paper
    published = bdry("publish", f"paper={paper}", f"runs={folder}", f"to={results}", cwd=place)
    assert published.returncode == 0, published.stderr
    redrawn = bdry("figures", f"paper={paper}", f"runs={results}", "outputs=again", "style.format=[png]", cwd=place)
    assert redrawn.returncode == 0, redrawn.stderr
    drawn = [path for path in results.iterdir() if path.suffix in (".png", ".csv", ".md")]
    assert len(drawn) > 20
    for path in drawn:
        assert (place / "again" / "figures" / paper / path.name).read_bytes() == path.read_bytes(), path.name


TINY = [
    "dataset.num_train=100",
    "dataset.num_test=50",
    "training.epochs=2",
    "arch.widths=[8]",
    "probe=[margin]",
    "probe.margin.num_train=20",
    "probe.margin.num_test=20",
    "evaluation.robust_images=0",
    "threads=1",
    "device=cpu",
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_goes_on_from_what_is_published(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(bdry_package.__file__).parents[1]))
    # figures are another test's
    monkeypatch.setattr(reproduce, "draw_figures", lambda *given: [])

    def study(seeds, outputs, further=(), **options):
        words = ["num_test=10", "num_train=10", "checkpoint=all", "threads=1"]
        measure = [Measuring(command="margin", study="main", overrides=words), *further]
        grid = Grid(train=[Training(study="main", overrides=[*TINY, f"seed={seeds}"])], measure=measure)
        monkeypatch.setattr(reproduce, "load_grid", lambda paper, scale: grid)
        capfd.readouterr()
        try:
            reproduce.run(ReproduceConfig(scale="smoke", outputs=outputs, **options))
            code = 0
        except IncompleteError as error:
            code = error.exit_code
        folder = Path(outputs) / "reproduce" / "mickisch2020-smoke"
        return code, folder, "".join(capfd.readouterr())

    def trained(folder):
        return sorted(path.parent.name for path in folder.rglob("checkpoints"))

    code, folder, _ = study("0", "first")
    assert code == 0
    assert trained(folder) == ["seed=0"]
    monkeypatch.setattr(figures, "draw_figures", lambda *given: [])
    publish.run(PublishConfig(runs=[str(folder)], to="results"))
    verdicts = Path("results/claims.csv").read_bytes()

    code, folder, said = study("0", "second", published="results")
    assert code == 0, said
    assert trained(folder) == []
    assert said.count("finished already") == 2
    assert (folder / "claims.csv").read_bytes() == verdicts

    # one more seed, and a measurement that needs the networks: a line where there are none
    another = Measuring(command="margin", study="main", seeds=[0], overrides=["num_test=5", "threads=1"])
    code, folder, said = study("0,1", "second", further=[another], published="results")
    assert code == 3
    assert trained(folder) == ["seed=1"]
    assert len(list(folder.rglob("measurements/*/tables/margins.csv"))) == 1
    assert said.count("brings none, and it was not measured so before") == 1
    # verdicts that lack something say so where they stand
    assert "; 1 commands of the study did not finish" in (folder / "claims.md").read_text()
    assert "Traceback" not in said
    with pytest.raises(UsageError, match="published=nowhere: no publication"):
        train.taken_from("nowhere", Run(tmp_path))


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
