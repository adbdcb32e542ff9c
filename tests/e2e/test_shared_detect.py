"""`bdry shared` and `bdry detect` as a user types them: tables, figures, the same again, and bad input in one line."""

from __future__ import annotations

import pytest

from bdry.runs import TABLES, find_runs, read_table
from bdry.studies.figures import draw_figures

TRAIN = ["dataset=digits", "training.epochs=2", "probe=[]", "evaluation.robust_images=0", "threads=1"]
SHARED = ["num_train=12", "num_test=8", "num_noise=60", "num_pca=50", "num_directions=10", "threads=1"]
DETECT = ["num_images=12", "num_directions=[10]", "families=[nearest_refined,nat_segment]", "threads=1"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(900), pytest.mark.usefixtures("coarse_figures")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("digits")


def trained(bdry, folder, *words):
    found = bdry("train", *TRAIN, *words, cwd=folder)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip().splitlines()[-1].strip()


def test_a_run_is_measured_drawn_and_not_measured_again(bdry, folder):
    run = trained(bdry, folder, "arch=mlp", "arch.widths=[16]", "arch.activation=silu")
    for command, words, tables in (
        ("shared", SHARED, ["shared_summary", "shared_rho", "shared_energy", "shared_noise"]),
        ("detect", DETECT, ["detect_scores", "detect_summary"]),
    ):
        done = bdry(command, f"run={run}", *words, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "is finished already" in bdry(command, f"run={run}", *words, cwd=folder).stdout
        (record,), _ = find_runs([str(folder)])
        (place,) = [found for found in record.measurements() if found.name.startswith(command)]
        assert all(len(read_table(place.table_path(name), TABLES[name])) for name in tables)
        assert any(place.figures.glob(f"{command}_*.png"))
    assert "logit gap's AUC" in done.stdout
    before = {path.name: path.read_bytes() for path in place.figures.iterdir()}
    again = folder / "again"
    draw_figures("fawzi2017", "all", [record.only(place)], again)
    assert before == {path.name: path.read_bytes() for path in again.iterdir()}


def test_a_linear_network_and_an_unfit_setting_are_answered_in_a_line(bdry, folder):
    run = trained(bdry, folder, "arch=linear")
    done = bdry("detect", f"run={run}", *DETECT, cwd=folder)
    assert done.returncode == 0 and "every second derivative is 0" in done.stdout
    for command, words, message in (
        ("shared", SHARED, "every curvature of an affine network"),
        ("shared", ["dim=65"], "dim=65: images have 64 pixels"),
        ("detect", ["alphas=[]"], "must not be empty"),
        ("detect", ["num_directions=[1]"], "must be at least 2"),
    ):
        refused = bdry(command, f"run={run}", *words, cwd=folder)
        assert refused.returncode == 2
        assert message in refused.stderr and len(refused.stderr.strip().splitlines()) <= 2
