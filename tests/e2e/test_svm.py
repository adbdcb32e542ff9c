"""`bdry svm` as a user types it: a digits run's last layer trained on to the SVM of its features."""

from __future__ import annotations

import pandas as pd
import pytest

SMALL = ["dataset.num_train=200", "dataset.num_test=100", "training.batch_size=20", "evaluation.robust_images=0"]
QUICK = ["probe.margin.num_train=4", "probe.margin.num_test=4", "probe.svm.num_grid_points=500", "threads=1"]


def tables(folder, name="svm_convergence"):
    (path,) = folder.glob(f"measurements/svm-*/tables/{name}.csv")
    return pd.read_csv(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_digits_end_within_a_degree_of_the_svm_and_a_second_call_finds_them_there(bdry, tmp_path):
    words = ["dataset=digits", *SMALL, "optim=sgd", "training.epochs=16", "probe=[margin,svm]", *QUICK]
    trained = bdry("train", *words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    (run,) = tmp_path.glob("outputs/runs/*/seed=0")
    in_training = pd.read_csv(run / "tables" / "svm_convergence.csv")
    assert sorted(in_training["epoch"].unique()) == [0, 1, 2, 4, 8, 16]
    command = ["svm", f"run={run}", "stage=accelerated", "num_grid_points=500", "threads=1"]
    result = bdry(*command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "angles in degrees" in result.stdout
    last = tables(run)[lambda rows: rows["variant"] == "S1"].iloc[-1]
    assert last["separable"]
    assert last["angle_full_deg"] < 1.001
    assert last["stage_step"] < 3000
    (folder,) = run.glob("measurements/svm-*")
    drawn = {path.name.partition("-")[0] for path in (folder / "figures").glob("*.png")}
    # overlap and solver are of whole networks, which this stage did not measure
    assert drawn == {"convergence", "slowness", "margin_histograms", "pair_angles"}
    again = bdry(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "is finished already" in again.stdout
    fewer = bdry(*command, "steps=5", cwd=tmp_path)
    assert fewer.returncode == 0, fewer.stderr
    assert len(list(run.glob("measurements/svm-*"))) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["stage=accelerate"], "did you mean accelerated?"),
        (["stage=accelerated", "study=bias"], "study=bias has its own stages"),
        (["fresh=true"], "needs a stage that trains the last layer"),
        (["variants=[S3]"], "must have S1"),
        (["variants=[S1,S3,S1]"], "names something twice"),
        (["max_work=0"], "must be more than 0"),
    ],
)
def test_mistakes_are_answered_in_a_line(bdry, tmp_path, words, line):
    result = bdry("svm", "run=nowhere", *words, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert line in result.stderr
    assert "Traceback" not in result.stderr
