"""Histograms of margins and the comparison of estimators, from made tables where every number is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from bdry.studies.margins import summary as said
from bdry.studies.margins.figures.estimators import compare
from bdry.studies.margins.figures.estimators import draw_histograms as draw
from bdry.studies.margins.figures.estimators import histogram_data as drawn_data
from bdry.studies.margins.probe import summarise


def margins(values, *, step=0, split="test", norm="l2", correct=True, found=True):
    n = len(values)
    return pd.DataFrame(
        {
            "step": [step] * n,
            "epoch": [step / 10] * n,
            "split": [split] * n,
            "norm": [norm] * n,
            "clipped": [False] * n,
            "correct": [correct] * n,
            "success": [found] * n,
            "margin": values if found else [np.nan] * n,
            "lower_bound": [np.nan] * n,
        }
    )


def test_bins_are_shared_and_counts_add_up():
    rows = pd.concat(
        [
            margins(np.linspace(0.01, 1.0, 300)),
            margins(np.linspace(0.01, 0.1, 30), correct=False),
            margins([0.0] * 5, correct=False, found=False),
            margins(np.linspace(0.01, 2.0, 100), step=50),
            margins([0.3], norm="linf"),
        ]
    )
    drawn = drawn_data(rows)
    l2 = drawn[drawn["norm"] == "l2"]
    histograms = l2.groupby(["step", "split", "subset"])
    edges = {(*part["low"], part["high"].iloc[-1]) for _, part in histograms}
    assert len(edges) == 1
    assert max(edges.pop()) == 2.0
    assert histograms["count"].sum().to_dict() == {
        (0, "test", "correct"): 300,
        (0, "test", "incorrect"): 30,
        (50, "test", "correct"): 100,
        (50, "test", "incorrect"): 0,
    }
    wrong = l2[(l2["step"] == 0) & (l2["subset"] == "incorrect")]
    assert set(wrong["num_found"]) == {30}
    assert set(wrong["num_images"]) == {35}
    assert wrong["share"].sum() == pytest.approx(1)
    assert drawn.loc[drawn["norm"] == "linf", "high"].max() == 0.3


def test_a_figure_a_step_with_the_same_bytes_again(tmp_path):
    rows = pd.concat([margins([0.1, 0.2, 0.3], step=step, norm=norm) for step in (0, 7) for norm in ("l2", "linf")])
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths = draw(rows, "made up", tmp_path / name)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert [path.name for path in paths if path.suffix == ".png"] == [
        f"margin_histogram-step=0000000{step}.png" for step in (0, 7)
    ]
    assert digests[0] == digests[1]
    drawn = pd.read_csv(paths[-1])
    assert drawn["count"].sum() == 6


def test_margins_that_were_never_found_are_drawn_as_none(tmp_path):
    assert draw(margins([0.0, 0.0], found=False), "nothing", tmp_path)
    assert drawn_data(margins([0.0, 0.0], found=False))["count"].sum() == 0


def check_rows(estimator, step, values):
    n = len(values)
    about = {"step": step, "epoch": step / 10, "split": "test", "norm": "l2", "clipped": False, "estimator": estimator}
    return pd.DataFrame({**about, "index": range(n), "margin": values, "best_known": 1.0, "ratio": values})


def test_trends_are_compared_on_the_images_that_both_found():
    nan = float("nan")
    rows = pd.concat(
        [
            check_rows("main", 0, [1.0, 1.0, 1.0, 1.0]),
            check_rows("same", 0, [1.0, 1.0, 1.0, nan]),
            check_rows("other", 0, [1.0, 1.0, 1.0, 1.0]),
            check_rows("main", 9, [2.0, 2.0, 2.0, -9.0]),
            check_rows("same", 9, [1.5, 1.5, nan, 5.0]),
            check_rows("other", 9, [0.5, 0.5, 0.5, nan]),
        ]
    )
    found = compare(rows).set_index("estimator")
    assert found.index.tolist() == ["main", "same", "other"]
    # the fourth image turns main's own change, but neither of the others found it at both steps
    assert found["change"].to_dict() == {"main": -1.75, "same": 0.5, "other": -0.5}
    assert found["trend_agrees"].to_dict() == {"main": True, "same": True, "other": False}
    assert found.loc["same", "success_rate"] == 6 / 8
    assert found.loc["other", "mean_margin"] == pytest.approx(5.5 / 7)
    single = compare(rows[rows["step"] == 0])
    assert single["trend_agrees"].isna().all()


def bounded(kind):
    """Ten images, two of which could not be certified; margins too where it is a `bracket`."""
    found = kind == "bracket"
    rows = margins(np.linspace(0.2, 1.1, 10), found=found)
    lower = [0.0, 0.0, *np.linspace(0.1, 0.8, 8)]
    return rows.assign(
        lower_bound=lower, estimator=kind, index=range(10), iterations=3, label=0, predicted=0, forwards=1, backwards=1
    )


def printed(rows):
    tables = {"margins": rows, "margin_summary": summarise(rows), "estimator_check": None}
    settings = {"title": "t", "margin": {"name": rows["estimator"].iloc[0]}, "accuracy_said": True}
    (table,) = said.summary(tables.get, settings)
    return dict(zip(table.headings, table.rows[0], strict=True))


def test_bounds_are_printed_beside_what_was_found():
    row = printed(bounded("certified"))
    assert row["found"] == "0.0%"
    assert (row["mean"], row["median"], row["smallest"]) == ("-", "-", "-")
    assert (row["certified"], row["mean lower bound"]) == ("80.0%", "0.36")
    row = printed(bounded("bracket"))
    assert (row["found"], row["mean"]) == ("100.0%", "0.65")
    assert (row["certified"], row["mean lower bound"]) == ("80.0%", "0.36")
    row = printed(bounded("bracket").assign(lower_bound=np.nan))
    assert "certified" not in row
    assert row["mean"] == "0.65"


@pytest.mark.parametrize(("kind", "names"), [("certified", ["lower_bound"]), ("bracket", ["lower_bound", "margin"])])
def test_bounds_have_a_histogram_of_their_own(tmp_path, kind, names):
    rows = bounded(kind)
    draw(rows, "title", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        f"{name}_histogram-step=00000000.png" for name in names
    ]
    bins = pd.read_csv(tmp_path / "lower_bound_histogram-step=00000000.csv")
    right = bins[bins["subset"] == "correct"]
    assert right["count"].sum() == 10
    assert right["count"].iloc[0] == 2
    assert right["high"].max() == pytest.approx(0.8)
