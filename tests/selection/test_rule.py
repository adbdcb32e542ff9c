"""Overlapping measurements of one run: figures and verdicts take the same rows, the right ones, and say what they left.

Each made row carries a number that tells which measurement it is from.
"""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge
from bdry.runs import SCHEMA_VERSION, TABLES, Measurement, Run, find_runs
from bdry.selection import PROBE, in_words, page, passed_over, select
from bdry.studies.deepdig.figures.pairs import alpha_data, idc_data, success_data
from bdry.studies.figures import draw_figures
from bdry.studies.lastlayer.figures.convergence import convergence_data
from bdry.studies.margins.figures.training import r1_data
from bdry.studies.regions.figures import paths_data, regions_data

DEFAULTS = {"int": 1, "float": 0.5, "str": "x", "bool": True}
DEEPDIG = {"alphas": [0.8, 0.8], "further_alphas": [0.05, 3.0], "grid": 50, "steps": 200}


def made(name, rows):
    """Rows of a table, whatever they do not say filled in."""
    filled = {column.name: DEFAULTS[column.kind] for column in TABLES[name].columns}
    return pd.DataFrame([filled | row for row in rows])


def trained(folder, arch, tables, *, seed=0, probe=None, study=""):
    """A finished run with what its probes wrote."""
    optim = {"name": "sgd", "lr": 0.1}
    science = {"dataset": {"name": "digits"}, "arch": {"name": arch, "activation": "relu"}, "adv": {"name": "none"}}
    science |= {"probe": probe or {}, "optim": optim, "training": {"epochs": 2, "batch_size": 8}}
    science["margin"] = {"name": "deepfool"}
    run = Run.of(str(folder), science, seed)
    leave(run, {**science, "seed": seed, "study": study}, tables)
    return run


def measured(run, command, settings, tables, *, at="2026-01-01T10", state="finished"):
    """A measurement by a command, finished `at` that time."""
    folder = Measurement.of_run(run, command, settings | {"at": at})
    leave(folder, {"command": command, "run": str(run.path), "threads": 1, **settings}, tables, at, state)
    return folder


def leave(folder, config, tables, at="2026-01-01T09", state="finished"):
    with folder.claimed():
        folder.write_config({"schema": SCHEMA_VERSION, **config})
        for name, rows in tables.items():
            folder.writer(name).append(rows)
        folder.set_status(state, updated=at)


def records(folder):
    return find_runs([str(folder)])[0]


def paths(num_found, num_pairs=25, step=9, scenario="natural"):
    about = {"step": step, "epoch": step / 9, "scenario": scenario, "in_region": True}
    lengths = {"relative_length": 1.0, "straight": True, "num_anchors": 0}
    return made("paths", [about | lengths | {"pair": n, "found": n < num_found} for n in range(num_pairs)])


def generation(rate, *, pairs=((1, 2), (2, 1)), methods=("deepdig", "rpbs"), alphas=(0.8,), step=9):
    """`num_success` of 100; of another alpha than 0.8 half of it."""
    rows = []
    for (s, t), method in itertools.product(pairs, methods):
        for alpha in alphas if method == "deepdig" else [float("nan")]:
            num = round(100 * (rate if alpha != alpha or alpha == 0.8 else rate / 2))
            counts = {
                "num_correct": 100,
                "num_pairs": 100,
                "num_success": num,
                "num_third": 100 - num,
                "num_stalled": 0,
            }
            shared = {"success_rate": num / 100, "status": "ok", "step": step, "coverage": 1.0}
            rows.append({"source": s, "target": t, "method": method, "alpha": alpha} | counts | shared)
    return made("generation", rows)


def k1(folder):
    """The value of claim K1, and the shares that the figure `success` draws of DeepDIG, by direction."""
    found = records(folder)
    drawn = success_data(found)
    drawn = drawn[drawn["method"] == "deepdig"].set_index("panel")["success"].to_dict()
    verdict = CLAIMS["karimi2020"]["K1"].rule(Evidence.of(found))
    # of pairs that all seeds have: none measured all of them
    (part,) = [part for part in verdict.parts if part.secondary]
    return part.effect.value, drawn


def test_a_network_that_no_command_measured_stays_in_the_verdict(tmp_path):
    lenet = trained(tmp_path, "lenet", {"paths": paths(20)})
    trained(tmp_path, "cnn", {"paths": paths(25)})
    command = measured(lenet, "regions", {"pairs": 25}, {"paths": paths(10)})
    found = records(tmp_path)
    evidence = Evidence.of(found)
    verdict = CLAIMS["fawzi2017"]["C1"].rule(evidence)
    values = {part.label: part.effect.value for part in verdict.parts}
    assert values["lenet relu, natural"] == pytest.approx(0.4)
    assert values["cnn relu, natural"] == 1
    drawn = paths_data(found)
    lost = drawn[(drawn["quantity"] == "length") & (drawn["class"] == "not found")].set_index("arch")["value"]
    assert lost.to_dict() == {"lenet": pytest.approx(0.6), "cnn": 0}
    (line,) = evidence.passed_over()
    assert f"paths of {PROBE} ({command.name}, a command, measured the same)" in line
    assert evidence.passed["num_rows"].tolist() == [25]


def test_what_a_command_did_not_measure_is_the_probes(tmp_path):
    probed = pd.concat([paths(25), paths(25, scenario="random")])
    run = trained(tmp_path, "cnn", {"paths": probed})
    measured(run, "regions", {"scenarios": ["natural"]}, {"paths": paths(5)})
    rows = select(records(tmp_path), "paths").rows
    assert rows.groupby("scenario")["found"].sum().to_dict() == {"natural": 5, "random": 25}
    parts = CLAIMS["fawzi2017"]["C1"].rule(Evidence.of(records(tmp_path))).parts
    values = {part.label: part.effect.value for part in parts}
    assert values == {"cnn relu, natural": pytest.approx(0.2), "cnn relu, random": 1}


def test_the_main_alpha_is_the_configs_and_the_others_a_sweep(tmp_path):
    run = trained(tmp_path, "cnn", {})
    idc = [
        {"source": 1, "target": 2, "method": "deepdig", "alpha": alpha, "grid": grid, "flips": flips, "step": 9}
        for alpha, grid, flips in ((0.8, 50, 1.0), (0.8, 200, 3.0), (0.8, 10, 3.0), (0.05, 50, 9.0), (3.0, 50, 9.0))
    ]
    tables = {
        "generation": generation(0.9, methods=("deepdig",), alphas=(3.0, 0.05, 0.8), pairs=((1, 2),)),
        "idc": made("idc", idc),
    }
    measured(run, "deepdig", DEEPDIG | {"pairs": [[1, 2]], "methods": ["deepdig"]}, tables)
    value, drawn = k1(tmp_path)
    assert value == 0.9
    assert drawn == {"1→2": 0.9}
    found = records(tmp_path)
    assert set(alpha_data(found)["alpha"]) == {0.05, 0.8, 3.0}
    methods = idc_data(found).query("panel == 'methods'")
    assert methods[["grid", "flips"]].to_numpy().tolist() == [[50, 1.0]]
    assert set(idc_data(found).query("panel == 'grid'")["grid"]) == {10, 50, 200}
    verdict = CLAIMS["karimi2020"]["K12"].rule(Evidence.of(found))
    assert any("distance_median" in part.label for part in verdict.parts)


def test_a_pair_measured_by_probe_and_by_command_is_the_commands(tmp_path):
    probe = {"deepdig": {"name": "deepdig", "moments": None, **DEEPDIG}}
    pairs = ((1, 2), (2, 1), (4, 9), (9, 4))
    run = trained(tmp_path, "cnn", {"generation": generation(0.5, pairs=pairs)}, probe=probe)
    measured(run, "deepdig", DEEPDIG | {"pairs": [[1, 2]]}, {"generation": generation(0.9)})
    value, drawn = k1(tmp_path)
    assert drawn == {"1→2": 0.9, "2→1": 0.9, "4→9": 0.5, "9→4": 0.5}
    assert value == pytest.approx(0.7)


@pytest.mark.parametrize(("steps", "right", "word"), [(200, 0.9, "comes first"), (500, 0.6, "steps 500, not 200")])
def test_a_later_measurement_counts_with_the_same_settings_alone(tmp_path, steps, right, word):
    run = trained(tmp_path, "cnn", {})
    measured(run, "deepdig", DEEPDIG, {"generation": generation(0.6)}, at="2026-01-01T10")
    measured(run, "deepdig", DEEPDIG | {"steps": steps}, {"generation": generation(0.9)}, at="2026-01-01T11")
    value, drawn = k1(tmp_path)
    assert value == right
    assert set(drawn.values()) == {right}
    (line,) = in_words(passed_over(records(tmp_path)))
    assert word in line


def test_the_settings_are_those_of_most_seeds(tmp_path):
    for seed in (0, 1, 2):
        run = trained(tmp_path, "cnn", {}, seed=seed)
        if seed == 0:
            measured(run, "deepdig", DEEPDIG | {"steps": 5}, {"generation": generation(0.1)}, at="2026-01-01T08")
        measured(run, "deepdig", DEEPDIG, {"generation": generation(0.9)})
    value, drawn = k1(tmp_path)
    assert value == pytest.approx(0.9)
    assert set(drawn.values()) == {0.9}


def layer(angle, stage="whole", step=9):
    about = {"step": step, "epoch": 1.0, "stage": stage, "stage_step": 0, "variant": "S1", "separable": True}
    return made("svm_convergence", [about | {"fresh": False, "rescaled": False, "angle_full_deg": angle}])


def test_a_measurements_own_figures_draw_what_it_measured(tmp_path):
    run = trained(tmp_path, "mlp", {"svm_convergence": layer(1.0)})
    command = measured(run, "svm", {"stage": "whole"}, {"svm_convergence": layer(99.0)}, state="running")
    (record,) = records(tmp_path)
    assert convergence_data([record])["angle_full_deg"].tolist() == [1.0]
    draw_figures("li2018", "convergence", [record.only(command)], tmp_path / "own")
    (csv,) = (tmp_path / "own").glob("*.csv")
    assert pd.read_csv(csv)["angle_full_deg"].tolist() == [99.0]
    rows = Evidence.of([record.only(command)]).rows("svm_convergence")
    assert rows["angle_full_deg"].tolist() == [99.0]


def test_stages_of_the_last_layer_are_different_things(tmp_path):
    run = trained(tmp_path, "mlp", {"svm_convergence": layer(1.0)})
    for stage, steps in (("last_only", 100), ("last_only_loss_scaled", 9000)):
        measured(run, "svm", {"stage": stage, "steps": steps}, {"svm_convergence": layer(2.0, stage)})
    found = records(tmp_path)
    assert set(convergence_data(found)["stage"]) == {"whole", "last_only", "last_only_loss_scaled"}
    assert passed_over(found).empty


def margin_tables(mean, norm="l2", steps=(0, 9)):
    about = {"split": "train", "norm": norm, "clipped": False, "estimator": "deepfool", "subset": "all"}
    return {
        "margin_summary": made("margin_summary", [about | {"step": s, "epoch": s / 9, "mean": mean} for s in steps]),
        "history": made("history", [{"step": s, "epoch": s / 9} for s in steps]),
    }


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_train": 250}, "the probe measured the same"),
        ({"num_train": 20}, "num_train 20, not 250"),
        ({"num_train": 250, "preprocessing": {"mean": None, "std": None}}, "the probe measured the same"),
        ({"num_train": 20, "preprocessing": {"mean": None}}, "training: num_train 20, not 250)"),
        ({"num_train": 250, "preprocessing": {"mean": [0.5]}}, "preprocessing otherwise, not None"),
        ({"num_train": 250, "towards": 3}, "another quantity: towards=3"),
        ({"num_train": 250, "classes": [1]}, "classes [1], not None"),
        ({"num_train": 250, "margin": {"name": "walk"}}, "margin walk, not deepfool"),
    ],
)
def test_margins_over_training_are_the_probes(tmp_path, settings, reason):
    probe = {"margin": {"name": "margin", "num_train": 250, "norms": ["l2"], "moments": None}}
    run = trained(tmp_path, "mlp", margin_tables(1.0), probe=probe)
    summary = {"margin_summary": margin_tables(7.0, steps=(9,))["margin_summary"]}
    measured(run, "margin", {"margin": {"name": "deepfool"}, "towards": None, "steps": [9], **settings}, summary)
    found = records(tmp_path)
    drawn = r1_data(found)
    assert drawn.loc[drawn["panel"] == "l2", "value"].tolist() == [1.0, 1.0]
    assert Evidence.of(found).rows("margin_summary")["mean"].tolist() == [1.0, 1.0]
    (line,) = in_words(passed_over(found, ["margin_summary"]))
    assert reason in line


def test_margins_that_the_probe_left_out_are_added(tmp_path):
    probe = {"margin": {"name": "margin", "num_train": 250, "norms": ["l2"]}}
    run = trained(tmp_path, "mlp", margin_tables(1.0), probe=probe)
    settings = {"margin": {"name": "deepfool"}, "num_train": 250, "norms": ["linf"]}
    measured(run, "margin", settings, {"margin_summary": margin_tables(7.0, "linf")["margin_summary"]})
    drawn = r1_data(records(tmp_path)).groupby("panel")["value"].max()
    assert drawn[["l2", "linf"]].tolist() == [1.0, 7.0]


def test_a_curve_over_training_is_of_one_measurement(tmp_path):
    over_training = pd.concat([paths(25, step=step) for step in (0, 5, 9)])
    run = trained(tmp_path, "cnn", {"paths": over_training})
    measured(run, "regions", {"pairs": 99}, {"paths": paths(0)})
    found = records(tmp_path)
    curve = regions_data(found)
    assert curve.loc[curve["panel"] == "found", "value"].tolist() == [1.0, 1.0, 1.0]
    assert "one moment is no curve" in select(found, "paths", moments="curve").passed["reason"].tolist()
    assert not select(found, "paths", moments="last").rows["found"].any()


def test_a_unit_of_an_earlier_moment_is_listed(tmp_path):
    run = trained(tmp_path, "cnn", {"paths": paths(25, step=5, scenario="random")})
    measured(run, "regions", {}, {"paths": paths(25, step=9)})
    found = select(records(tmp_path), "paths", moments="last")
    assert set(found.rows["scenario"]) == {"natural"}
    assert found.passed[["measurement", "reason"]].to_numpy().tolist() == [[PROBE, "of step 5, before the last, 9"]]


def test_what_is_not_finished_or_damaged_is_listed(tmp_path):
    run = trained(tmp_path, "cnn", {"paths": paths(25)})
    measured(run, "regions", {}, {"paths": paths(0)}, state="interrupted")
    damaged = measured(run, "regions", {}, {"paths": paths(0)}, at="2026-01-01T11")
    damaged.table_path("paths").write_text("step\n1\n")
    found = select(records(tmp_path), "paths")
    assert found.rows["found"].all()
    reasons = found.passed["reason"].tolist()
    assert any(reason == "not finished (interrupted)" for reason in reasons)
    assert any("not the columns of the table paths" in reason for reason in reasons)


def test_a_network_of_which_a_seed_has_no_such_rows_is_named(tmp_path):
    trained(tmp_path, "cnn", {"paths": paths(25)}, seed=0)
    trained(tmp_path, "cnn", {"paths": paths(0)}, seed=1)
    table = judge("fawzi2017", Evidence.of(records(tmp_path)))
    row = table[(table["claim"] == "C2") & (table["dataset"] == "digits")].iloc[0]
    assert row["left_out"] == "1 of 2 seeds have no such rows (1)"


def test_what_was_passed_over_is_in_the_page_and_below_the_figure(tmp_path):
    run = trained(tmp_path, "cnn", {"paths": paths(25)})
    command = measured(run, "regions", {"pairs": 25}, {"paths": paths(5)})
    verdicts = judge("fawzi2017", Evidence.of(records(tmp_path)))
    said = f"{command.name}, a command, measured the same"
    by_claim = verdicts[verdicts["dataset"] == "digits"].groupby("claim")["passed_over"].first()
    assert said in by_claim["C1"]
    assert by_claim["C4"] == ""
    (tmp_path / "page").mkdir()
    csv, text = page.write(verdicts, "title", tmp_path / "page")
    assert said in csv.read_text()
    assert said in text.read_text().partition("## Passed over")[2]
    draw_figures("fawzi2017", "paths", records(tmp_path), tmp_path / "figures")
    (caption,) = (tmp_path / "figures").glob("*.caption.md")
    assert said in caption.read_text().partition("Measured, and passed over")[2]
