"""The figures of mickisch2020 from made tables: what they draw, what they leave out, the same bytes again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdry.studies.directions.figures import r5_data
from bdry.studies.figures import FIGURES, draw_figures
from bdry.studies.margins.figures.estimators import estimators_data
from bdry.studies.margins.figures.images import calibration_data, r4_data, reliability
from bdry.studies.margins.figures.training import controls_data, factors_data, r1_data, r2_data, r3_data, transfer_data
from bdry.studies.noise.figures import noise_data

ONE = [(0, 0.0)]
TWO = [(0, 0.0), (10, 1.0)]


def test_all_figures_of_a_study_come_with_captions_and_the_same_bytes_again(tmp_path, study, records, drawn_twice):
    study(tmp_path / "runs", seeds=(0, 1), datasets=("mnist",), num_images=60)
    table = {"csv", "md", "tex"}
    found = records(tmp_path / "runs")
    for path in drawn_twice("mickisch2020", found, T1=table, T2=table, trend={"csv", "tex"}):
        if path.name.endswith("lenet.caption.md"):
            assert "seeds 0, 1" in path.read_text()
            assert "n = " in path.read_text()


@pytest.mark.parametrize("name", FIGURES["mickisch2020"])
def test_without_data_a_figure_is_nothing(name, tmp_path):
    assert FIGURES["mickisch2020"][name].draw(name, [], tmp_path) == []


def leave(folder, write_run, made, value, correct=True, moments=TWO, confidence=0.5, more=None, norm="l2", **about):
    rows = made["margins"](moments, value, correct, confidence, norm=norm)
    tables = made["measured"](made["history"](moments, 0.9), rows) | (more or {})
    return write_run(folder, tables, **about)


def test_r1_is_of_standard_runs_of_the_main_study(tmp_path, write_run, made, records):
    leave(tmp_path, write_run, made, [[1.0] * 4, [3.0] * 4])
    leave(tmp_path, write_run, made, [[9.0] * 4, [9.0] * 4], training="pgd linf")
    leave(tmp_path, write_run, made, [[9.0] * 4, [9.0] * 4], study="control: x", settings={"margin": {"name": "x"}})
    drawn = r1_data(records(tmp_path))
    assert drawn.loc[drawn["panel"] == "l2", "value"].tolist() == [1, 3]
    errors = drawn[(drawn["panel"] == "error") & (drawn["split"] == "train")]
    assert errors["value"].tolist() == pytest.approx([0.1, 0.1])


def test_r2_leaves_out_cells_with_too_few_images_and_says_so(tmp_path, write_run, made, records):
    correct = np.array([np.arange(50) < 10, np.arange(50) < 30])
    value = np.where(correct, 4.0, 1.0)
    for seed in (0, 1):
        leave(tmp_path, write_run, made, value, correct, seed=seed)
    drawn = r2_data(records(tmp_path))
    points = {(row.series, row.step): (row.value, row.num_images) for row in drawn.itertuples()}
    assert points == {("correct", 10): (4, 30), ("misclassified", 0): (1, 40), ("misclassified", 10): (1, 20)}
    paths = draw_figures("mickisch2020", "R2", records(tmp_path), tmp_path)
    assert "fewer than 20 images in a seed: standard, test correct at epoch 0." in paths[-1].read_text()


def test_r3_and_transfer_need_adversarial_runs(tmp_path, write_run, made, records):
    leave(tmp_path, write_run, made, [[1.0] * 4, [2.0] * 4])
    assert r3_data(records(tmp_path)).empty
    leave(tmp_path, write_run, made, [[1.0] * 4, [6.0] * 4], training="pgd l2", study="transfer")
    assert r3_data(records(tmp_path)).empty
    drawn = transfer_data(records(tmp_path))
    last = drawn[drawn["panel"] == "last l2"].set_index("series")["value"]
    assert last.to_dict() == {"standard": 2, "PGD l2": 6}
    assert set(drawn.loc[drawn["series"] == "PGD l2", "adv_eps"]) == {0.5}


def test_r4_is_the_distribution_function(tmp_path, write_run, made, records):
    value = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, np.nan, 2.0]])
    leave(tmp_path, write_run, made, value, moments=[(10, 1.0), (20, 2.0)])
    drawn = r4_data(records(tmp_path))
    for name, share in (("early", 0.5), ("last", 0.75)):
        curve = drawn[drawn["series"] == name]
        assert curve.loc[curve["margin"] < 1, "value"].eq(0).all()
        assert curve.loc[curve["margin"].between(2, 2.9), "value"].eq(share).all()
    assert drawn.loc[drawn["series"] == "last", "value"].max() == 0.75


def test_r5_takes_medians_over_the_same_images_and_counts_rays_that_meet_nothing(tmp_path, write_run, made, records):
    rays = pd.DataFrame({"index": [0, 0, 1, 1, 2, 2], "direction": [0, 1] * 3, "distance": [5.0, 6, 7, 8, np.nan, 9]})
    rays = rays.assign(step=0, epoch=0.0, split="test", correct=True, boundary_class=1)
    rays["success"] = rays["distance"].notna()
    leave(tmp_path, write_run, made, [[1.0, 2.0, 3.0, 90.0, 90.0]], moments=ONE, more={"directions": rays})
    drawn = r5_data(records(tmp_path)).set_index(["panel", "line"])["value"]
    assert drawn["distance test", "margin"] == 2
    assert drawn["distance test", "random directions"] == 7
    assert drawn["found test", "random directions"] == pytest.approx(5 / 6)


def test_the_calibration_error_and_rank_correlation_of_known_images(tmp_path, write_run, made, records):
    # 40 images at confidence 0.95, 30 of them right; 40 at 0.35, 10 right
    confidence = np.repeat([0.95, 0.35], 40) + np.linspace(0, 1e-3, 80)
    correct = np.concatenate([np.arange(40) < 30, np.arange(40) < 10])
    leave(tmp_path, write_run, made, confidence[None] ** 2, correct, moments=ONE, confidence=confidence[None])
    drawn = calibration_data(records(tmp_path))
    ece = drawn.loc[drawn["panel"] == "ece", "value"].item()
    assert ece == pytest.approx((0.2 + 0.1) / 2, abs=1e-3)
    bins = drawn[drawn["panel"] == "reliability"]
    assert bins["value"].tolist() == [0.25, 0.75]
    assert bins["num_images"].tolist() == [40, 40]
    ranks = drawn[drawn["panel"] == "l2"].set_index("line")["value"]
    assert ranks.to_dict() == pytest.approx({"correct": 1, "misclassified": 1})


def test_every_image_is_in_one_bin_of_the_reliability_diagram():
    draw = np.random.default_rng(0)
    confidence = np.concatenate([draw.random(500), np.arange(11) / 10])
    bins = reliability(draw.random(511) < confidence, confidence)
    assert bins["num_images"].sum() == 511
    np.testing.assert_allclose(np.average(bins["confidence"], weights=bins["num_images"]), confidence.mean())


def test_noise_shows_the_last_moment_and_its_relation_to_the_margin(tmp_path, write_run, made, records):
    rows = pd.DataFrame({"step": [10, 10, 20, 20], "epoch": [1.0, 1, 2, 2], "size": [0.1, 0.2] * 2})
    rows = rows.assign(split="test", noise="gaussian", num_images=4, num_draws=1, accuracy=[0.9, 0.7, 0.6, 0.4])
    moments = [(10, 1.0), (20, 2.0)]
    leave(tmp_path, write_run, made, [[2.0] * 4, [1.0] * 4], moments=moments, more={"noise": rows})
    drawn = noise_data(records(tmp_path))
    assert drawn.loc[drawn["panel"] == "gaussian", "value"].tolist() == [0.6, 0.4]
    against = drawn[drawn["panel"] == "gaussian against margin"]
    assert against["margin"].tolist() == [2, 1]
    assert against["value"].tolist() == pytest.approx([0.8, 0.5])


def test_controls_stand_beside_the_main_runs(tmp_path, study, records):
    study(tmp_path, seeds=(0,), datasets=("mnist",), num_images=25)
    drawn = controls_data(records(tmp_path))
    assert set(drawn["series"]) == {
        "standard, lenet", "he initialisation, lenet", "sgd, lenet", "weight decay, lenet", "lr drop, lenet",
        "architecture, mlp",
    }  # fmt: skip
    checked = estimators_data(records(tmp_path))
    assert set(checked["training_label"]) == {"standard", "PGD linf"}
    ratios = checked[checked["panel"] == "ratio l2"].groupby("series")["value"].agg(["min", "max"])
    assert (ratios.loc["walk"] == 1).all()
    assert ratios.loc["deepfool"].between(1.08, 1.1).all()


def test_walk_beside_deepfool_has_curves_of_its_own_and_no_place_in_others(tmp_path, write_run, made, records):
    deepfool = made["margins"](TWO, [[2.0, 4.0], [6.0, 8.0]], True)
    walk = made["margins"](TWO, [[1.0, 2.0], [3.0, 8.0]], True).assign(estimator="walk")
    tables = made["measured"](made["history"](TWO, 0.9), deepfool, walk)
    write_run(tmp_path, tables, settings={"margin": {"name": "deepfool"}})
    found = records(tmp_path)
    drawn = r1_data(found)
    assert drawn.loc[drawn["panel"] == "l2", "value"].tolist() == [3, 7]
    assert r4_data(found).query("series == 'last'")["margin"].max() == 8
    beside = estimators_data(found).set_index(["panel", "series"])["value"]
    assert beside["l2", "deepfool"].tolist() == [3, 7]
    assert beside["l2", "walk"].tolist() == [1.5, 5.5]
    assert beside["ratio l2", "deepfool"].tolist() == [2, 1.5]


def test_the_factors_are_geometric_means_that_add_up(tmp_path, write_run, made, records):
    about = {"split": "train", "norm": "l2", "label": 0, "predicted": 0, "correct": True, "boundary_class": 1}
    rows = pd.DataFrame(
        [
            {**about, "step": step, "epoch": epoch, "index": index, "logit_gap": gap, "gradient_norm": length}
            for (step, epoch), pairs in zip(TWO, ([(1.0, 2.0), (4.0, 2.0)], [(8.0, 32.0), (2.0, 8.0)]), strict=True)
            for index, (gap, length) in enumerate(pairs)
        ]
    )
    rows["margin"] = rows["logit_gap"] / rows["gradient_norm"]
    tables = {"history": made["history"](TWO, 0.9), "first_order": rows}
    write_run(tmp_path, tables)
    drawn = factors_data(records(tmp_path)).set_index("panel")["value"]
    assert drawn["logit_gap l2"].tolist() == pytest.approx([2, 4])
    assert drawn["gradient_norm l2"].tolist() == pytest.approx([2, 16])
    assert drawn["margin l2"].tolist() == pytest.approx([1, 0.25])
