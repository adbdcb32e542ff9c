"""The figures of li2018 from made tables and arrays: what they draw, what they leave out, the same bytes again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdry.runs import SCHEMA_VERSION, TABLES, Measurement, find_runs
from bdry.studies.figures import FIGURES, draw_figures
from bdry.studies.lastlayer.figures.common import layers
from bdry.studies.lastlayer.figures.convergence import bias_data, convergence_data, overlap_data, solver_data

DEFAULTS = {"int": 1, "float": 0.5, "str": "x", "bool": False}
SETTINGS = {"training": {"epochs": 8, "batch_size": 10}, "optim": {"name": "sgd", "lr": 0.1}}


def made(name, rows):
    """Rows of a table, whatever they do not say filled in."""
    filled = {column.name: DEFAULTS[column.kind] for column in TABLES[name].columns}
    return pd.DataFrame([filled | row for row in rows])


def whole(steps=(0, 10, 20, 40, 80), separable_from=10, variants=("S1", "S3", "OvR")):
    rows = []
    for step in steps:
        for number, variant in enumerate(variants):
            exists = step >= separable_from
            about = {"step": step, "epoch": step / 10, "stage": "whole", "stage_step": 0, "variant": variant}
            angle = (60 + 5 * number) / (1 + step / 10) if exists else np.nan
            state = {"separable": exists, "angle_full_deg": angle, "w_norm_centred": 1 + step / 10}
            progress = {"log_n_times_loss": 2 - step / 10, "margin_ratio": 1 - 1 / (1 + step)}
            rows.append(about | state | progress | {"svm_gap": 1e-7 if variant != "OvR" else np.nan})
    return made("svm_convergence", rows)


def stage(name, fresh=False, steps=(0, 1, 10, 100), rescaled=False):
    about = {"step": 80, "epoch": 8.0, "stage": name, "fresh": fresh, "rescaled": rescaled, "variant": "S1"}
    rows = [
        about
        | {"stage_step": step, "separable": True, "angle_full_deg": 20 / (1 + step), "w_norm_centred": 9.0 + step}
        | {"log_n_times_loss": -6.0 - step, "margin_ratio": 0.9}
        for step in steps
    ]
    return made("svm_convergence", rows)


def timings(rows):
    """`svm_timings` beside these rows of `svm_convergence`."""
    about = rows[["step", "epoch", "rescaled", "variant", "solver"]].drop_duplicates()
    return about.assign(svm_seconds=0.5)


def positions(rescaled=False):
    rows = [
        {"step": step, "epoch": step / 10, "stage": "whole", "stage_step": 0, "rescaled": rescaled}
        | {"beta_nn": 0.5 + off}
        for step, off in ((0, 0.4), (80, -0.1))
    ]
    for name in ("last_only", "last_only_loss_scaled"):
        for at, off in ((0, 0.5), (4, 0.3), (8, 0.2)):
            about = {"step": 80, "epoch": 8.0, "stage": name, "fresh": True, "rescaled": rescaled, "stage_step": at}
            rows.append(about | {"beta_nn": 0.5 - off})
    return made("svm_bias", [row | {"class_i": 0, "class_j": 1, "beta_s1": 0.6} for row in rows])


def arrays(size=21, classes=3):
    axis = np.linspace(0, 1, size)
    labels = np.add.outer(np.arange(size), np.arange(size)) * classes // (2 * size)
    draw = np.random.default_rng(0)
    points = draw.random((60, 2)).astype(np.float32)
    angles = 20 * draw.random((classes, classes))
    np.fill_diagonal(angles, np.nan)
    shifted = np.minimum(labels + (axis > 0.8)[:, None], classes - 1)
    return {
        "margins_nn": draw.normal(1, 0.3, 60),
        "margins_s1": draw.normal(1.5, 0.2, 60),
        "pair_angles": (angles + angles.T) / 2,
        "feature_x": axis,
        "feature_y": 2 * axis,
        "feature_nn": labels.astype(np.int16),
        "feature_S1": shifted.astype(np.int16),
        "feature_S3": labels.astype(np.int16),
        "feature_points": points * [1, 2],
        "feature_labels": np.arange(60) % classes,
        "feature_support": points[:4] * [1, 2],
        "input_axis": axis,
        "input_nn": labels.astype(np.int16),
        "input_svm": shifted.astype(np.int16),
        "input_points": points,
        "input_labels": np.arange(60) % classes,
    }


def leave(folder, write_run, seed=0, study="", measured=None, probe=None, settings=None, picture=None):
    """A run with the probe's tables, and one measurement's."""
    run = write_run(folder, probe or {}, seed=seed, study=study, settings=SETTINGS | (settings or {}))
    if picture is not None:
        run.write_arrays("svm", 80, picture)
    for number, (stage_name, tables) in enumerate((measured or {}).items()):
        place = Measurement.of_run(run, "svm", {"number": number})
        with place.claimed():
            place.write_config({"schema": SCHEMA_VERSION, "command": "svm", "stage": stage_name})
            for name, rows in tables.items():
                place.writer(name).append(rows)
            if picture is not None:
                place.write_arrays("svm", 80, picture)
            place.set_status("finished")
    return run


@pytest.fixture
def study(tmp_path, write_run):
    """Two seeds, with everything that a figure may draw."""
    for seed in (0, 1):
        scaled = {"svm_convergence": stage("last_only_loss_scaled")}
        experiment = {
            "svm_convergence": pd.concat([stage("last_only", fresh=True), stage("last_only", True, rescaled=True)]),
            "svm_bias": pd.concat([positions(), positions(rescaled=True)]),
        }
        leave(
            tmp_path / "runs",
            write_run,
            seed=seed,
            probe={"svm_convergence": whole(), "svm_timings": timings(whole())},
            measured={"last_only_loss_scaled": scaled, "whole": experiment},
            picture=arrays(),
        )
    return find_runs([str(tmp_path / "runs")])[0]


def test_all_figures_come_with_captions_and_the_same_bytes_again(study, drawn_twice):
    paths = drawn_twice("li2018", study)
    captions = {path.name.split("-")[0]: path.read_text() for path in paths if path.name.endswith("caption.md")}
    assert all("sgd" in text for text in captions.values())
    # of pictures one seed, of curves over seeds all of them
    assert all("seed 0;" in captions[name] for name in ("maps", "margin_histograms", "pair_angles"))
    assert all("seeds 0, 1;" in captions[name] for name in ("convergence", "slowness", "overlap"))


@pytest.mark.parametrize("name", FIGURES["li2018"])
def test_without_data_a_figure_is_nothing(name, tmp_path):
    assert FIGURES["li2018"][name].draw(name, [], tmp_path) == []


def test_moments_without_an_svm_are_left_out_and_stages_are_of_layers_as_trained(study):
    drawn = convergence_data(study)
    assert drawn["step"].min() == 10
    assert set(drawn["stage"]) == {"whole", "last_only_loss_scaled"}
    assert len(drawn) == 2 * (4 * 3 + 4)


def test_what_probe_and_command_both_measured_is_drawn_once(tmp_path, write_run):
    tables = {"svm_convergence": whole()}
    leave(tmp_path, write_run, probe=tables, measured={"whole": tables})
    assert len(convergence_data(find_runs([str(tmp_path)])[0])) == 4 * 3


def test_the_bias_figure_counts_alike_in_epochs(study):
    drawn = bias_data(study)
    ends = drawn[drawn["progress"] == 8].groupby(["rescaled", "stage"])["beta_off"].mean().to_dict()
    arms = {"whole": 0.1, "last_only": 0.2, "last_only_loss_scaled": 0.2}
    assert ends == {(flag, arm): pytest.approx(off) for flag in (False, True) for arm, off in arms.items()}
    assert drawn["s1_off"].unique() == pytest.approx([0.1])


def test_overlaps_are_means_over_seeds(study):
    drawn = overlap_data(study)
    assert set(drawn["num_seeds"]) == {2}
    assert set(drawn["panel"]) == {"Jaccard index", "agreement with S1"}


def test_titles_name_the_key_in_which_networks_of_a_study_differ(tmp_path, write_run):
    """And nothing more where there is one of them."""
    titles = []
    for rate in (0.1, 0.2):
        optim = SETTINGS.get("optim", {}) | {"lr": rate}
        measured = {"svm_convergence": whole()}
        leave(tmp_path, write_run, study="lr", probe=measured, settings={"optim": optim}, picture=arrays())
        titles.append([found[0].title for found in layers(find_runs([str(tmp_path)])[0])])
    assert titles[0] == ["digits, lr, seed 0"]
    assert sorted(titles[1]) == ["digits, lr, lr=0.1, seed 0", "digits, lr, lr=0.2, seed 0"]


def test_a_map_says_how_many_points_agree(tmp_path, study):
    paths = draw_figures("li2018", "maps", study, tmp_path)
    rows = pd.read_csv(next(path for path in paths if path.suffix == ".csv"))
    assert set(rows["stage"]) == {"whole", "last_only_loss_scaled"}
    same = rows[rows["map"] == "S3"]["agreement"]
    assert (same == 1).all()
    assert (rows[rows["map"] == "S1"]["agreement"] < 1).all()


def test_the_solver_figure_keeps_what_was_not_separable(study):
    drawn = solver_data(study)
    assert set(drawn["separable"]) == {True, False}
