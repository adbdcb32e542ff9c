"""Figures and results from made tables where every number is known; the same bytes again."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bdry.errors import RunError, UsageError
from bdry.figures.drawing import Drawing
from bdry.runs import SCHEMA_VERSION, Run
from bdry.selection.overview import results
from bdry.settings.commands import PAPERS
from bdry.studies.figures import FIGURES, draw_figures
from bdry.studies.margins.figures.training import _evolution_figure
from bdry.studies.margins.figures.training import evolution_data as drawn_data


def make_run(folder, adv, seed, *, num_seeds_apart=0.0, eps=0.1, clipped=False):
    science = {"dataset": {"name": "digits"}, "arch": {"name": "mlp"}, "adv": {"name": adv}}
    if adv == "pgd":
        science["adv"] |= {"norm": "linf", "eps": eps}
    run = Run.of(str(folder), science, seed)
    with run.claimed():
        run.write_config({**science, "schema": SCHEMA_VERSION, "seed": seed})
        run.set_status("finished")
        for step, epoch, mean in ((0, 0.0, 1.0), (5, 0.5, 3.0), (10, 1.0, 2.0)):
            value = mean + num_seeds_apart * seed
            error = {"train_loss": 1.0, "train_accuracy": 0.8, "test_loss": 1.0, "test_accuracy": 0.7}
            history = {"step": step, "epoch": epoch, "lr": 0.1, "objective": 1.0, **error}
            robust = {"robust_accuracy": 0.25, "robust_norm": "linf", "robust_eps": 0.1}
            run.writer("history").append(pd.DataFrame([{**history, **robust}]))
            rows = [
                {
                    "step": step,
                    "epoch": epoch,
                    "split": split,
                    "norm": norm,
                    "clipped": clipped,
                    "estimator": "deepfool",
                    "subset": subset,
                    "num_images": 20,
                    "num_success": 20,
                    "success_rate": 1.0,
                    "mean": value if subset == "all" else 99.0,
                    "median": value,
                    "q25": value - 0.5,
                    "q75": value + 0.5,
                    "min": 0.1,
                    "mean_lower_bound": float("nan"),
                    "mean_iterations": 2.0,
                }
                for split in ("train", "test")
                for norm in ("l2", "linf")
                for subset in ("all", "correct")
            ]
            run.writer("margin_summary").append(pd.DataFrame(rows))
    return run


def test_the_band_spans_the_seeds(tmp_path, records):
    for seed in (0, 1, 2):
        make_run(tmp_path, "none", seed, num_seeds_apart=0.1)
    drawn = drawn_data(records(tmp_path))
    point = drawn[(drawn["panel"] == "l2") & (drawn["split"] == "test") & (drawn["step"] == 5)].iloc[0]
    assert point["value"] == pytest.approx(3.1)
    assert (point["low"], point["high"]) == (pytest.approx(3.0), pytest.approx(3.2))
    assert (point["num_seeds"], point["num_images"]) == (3, 20)
    assert np.isnan(point["adv_eps"])


def test_one_seed_shows_the_quartiles_over_images(tmp_path, records):
    make_run(tmp_path, "pgd", 0)
    drawn = drawn_data(records(tmp_path))
    point = drawn[(drawn["panel"] == "linf") & (drawn["split"] == "train") & (drawn["step"] == 10)].iloc[0]
    assert (point["low"], point["value"], point["high"]) == (1.5, 2.0, 2.5)
    assert point["adv_eps"] == 0.1
    assert drawn[drawn["panel"] == "l2"]["adv_eps"].isna().all()
    assert set(drawn[drawn["panel"] == "robust_error"]["value"]) == {0.75}
    assert drawn[(drawn["panel"] == "error") & (drawn["split"] == "test")]["value"].tolist() == pytest.approx([0.3] * 3)


def test_a_run_measured_only_in_the_box_is_shown(tmp_path, records):
    make_run(tmp_path, "none", 0, clipped=True)
    assert set(drawn_data(records(tmp_path))["panel"]) == {"l2", "linf", "error", "robust_error"}


def test_figures_come_in_all_forms_with_the_same_bytes_again(tmp_path, records):
    for adv in ("none", "pgd"):
        for seed in (0, 1):
            make_run(tmp_path, adv, seed, num_seeds_apart=0.1)
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        paths = draw_figures("mickisch2020", "margin_evolution", records(tmp_path), folder)
        assert [path.suffix for path in paths] == [".png", ".pdf", ".csv", ".md"]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]
    drawn = pd.read_csv(paths[2])
    np.testing.assert_allclose(drawn["value"], drawn_data(records(tmp_path))["value"])


def test_there_is_no_panel_without_a_curve(tmp_path, records):
    make_run(tmp_path, "none", 0)
    drawn = drawn_data(records(tmp_path))
    for panels in (["l2", "error"], ["error"], ["linf", "l2", "error", "robust_error"]):
        figure = _evolution_figure(drawn[drawn["panel"].isin(panels)], "title")
        shown = [place for place in figure.axes if place.get_visible()]
        assert len(shown) == len(panels)
        assert all(place.lines for place in shown)


def test_runs_without_margins_draw_what_there_is(tmp_path, records):
    run = make_run(tmp_path, "none", 0)
    run.table_path("margin_summary").unlink()
    assert len(draw_figures("mickisch2020", "margin_evolution", records(tmp_path), tmp_path / "f")) == 4
    run.table_path("history").unlink()
    assert draw_figures("mickisch2020", "all", records(tmp_path), tmp_path / "g") == []
    with pytest.raises(UsageError, match="figure=R1: nothing to draw in these 1 runs; needs main runs with probe="):
        draw_figures("mickisch2020", "R1", records(tmp_path), tmp_path / "g")
    assert results(records(tmp_path)).empty


def test_an_unknown_figure_answers_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="no such figure of mickisch2020, did you mean figure=margin_evolution"):
        draw_figures("mickisch2020", "margin_evolutoin", [], tmp_path)
    assert set(FIGURES) == set(PAPERS)


def test_results_average_the_seeds(tmp_path, records):
    for seed in (0, 2):
        make_run(tmp_path, "none", seed, num_seeds_apart=0.5)
    table = results(records(tmp_path))
    row = table.iloc[0]
    assert (row["num_seeds"], row["epochs"], row["test_accuracy"], row["robust_accuracy"]) == (2, 1.0, 0.7, 0.25)
    assert (row["l2_init"], row["l2_peak"], row["l2_last"]) == (1.5, 3.5, 2.5)


def test_margins_of_which_none_was_found_are_nan_without_a_warning(tmp_path, records):
    make_run(tmp_path, "none", 1, num_seeds_apart=np.nan)
    (row,) = results(records(tmp_path)).to_dict("records")
    assert np.isnan(row["l2_peak"])


def test_of_runs_that_do_not_go_together_one_is_left_out(tmp_path, monkeypatch, capsys):
    def draw(name, records, folder):
        names = [record.run.path.name for record in records]
        if {"b", "d"} <= set(names) or {"a", "e"} <= set(names):
            raise ValueError("an image stands twice")
        (folder / f"{name}.png").write_text(" ".join(names))
        return [folder / f"{name}.png"]

    monkeypatch.setitem(FIGURES, "li2018", {"odd": Drawing("odd", "any run", (), draw)})
    records = [SimpleNamespace(run=Run(tmp_path / name)) for name in "abcdef"]
    (path,) = draw_figures("li2018", "all", records, tmp_path / "figures")
    assert path.read_text() == "a b c f"
    assert [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()] == [
        f"{tmp_path}/d",
        f"{tmp_path}/e",
    ]


def test_a_run_that_cannot_be_drawn_does_not_hide_the_others(tmp_path, monkeypatch, capsys):
    def draw(name, records, folder):
        if any(record.run.path.name == "hostile" for record in records):
            raise OverflowError("cannot convert float infinity to integer")
        (folder / f"{name}.png").write_text(" ".join(record.run.path.name for record in records))
        return [folder / f"{name}.png"]

    monkeypatch.setitem(FIGURES, "li2018", {"odd": Drawing("odd", "any run", (), draw)})
    records = [SimpleNamespace(run=Run(tmp_path / name)) for name in ("a", "hostile", "b")]
    for figure in ("odd", "all"):
        (path,) = draw_figures("li2018", figure, records, tmp_path / "figures")
        assert path.read_text() == "a b"
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"skipped: {tmp_path}/hostile: figure=odd cannot be drawn from its tables "
            "(OverflowError: cannot convert float infinity to integer)"
        )
    with pytest.raises(RunError, match="figure=odd: cannot be drawn from the tables of these runs"):
        draw_figures("li2018", "all", records[1:2], tmp_path / "figures")
