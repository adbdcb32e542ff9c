"""The table `trend`, and the tables T1 and T2, from made runs where every number is known."""

from __future__ import annotations

import numpy as np
import pytest

from bdry.core.statistics import auroc
from bdry.studies.figures import draw_figures
from bdry.studies.margins.figures.tables import t1, t2, trend

MOMENTS = [(0, 0.0), (5, 0.5), (10, 1.0), (80, 8.0), (120, 12.0), (200, 20.0)]
MEANS = np.array([9.0, 2.0, 4.0, 3.0, 5.0, 1.0])
ACCURACY = [0.1, 0.5, 0.9, 0.99, 0.98, 1.0]


@pytest.fixture
def falling(write_run, made):
    """A function that leaves a run whose mean margins are MEANS times a factor, half of its 40 images wrong."""

    def leave(folder, *, factor=1.0, **about):
        # the last image goes against the others: it grows from the peak to the end
        value = factor * MEANS[:, None] * np.ones(40)
        value[2, 39], value[5, 39] = factor * 0.5, factor * 2.0
        value[2, 0], value[5, 0] = factor * 7.5, np.nan
        correct = np.arange(40) < 20
        rows = made["margins"](MOMENTS, value, correct)
        return write_run(folder, made["measured"](made["history"](MOMENTS, ACCURACY), rows), **about)

    return leave


def test_the_numbers_of_a_trend(tmp_path, falling, records):
    falling(tmp_path)
    rows = trend(records(tmp_path)).set_index("subset")
    row = rows.loc["all"]
    # the mean of all 40 at epoch 1 is 4 again: 38 * 4 + 0.5 + 7.5 = 160
    assert (row["margin_init"], row["margin_epoch1"], row["margin_peak"], row["epoch_peak"]) == (9, 4, 4, 1.0)
    assert (row["margin_at_trainacc99"], row["epoch_trainacc99"]) == (3, 8.0)
    last = (38 * 1 + 2) / 39
    assert row["margin_last"] == pytest.approx(last)
    assert row["change_peak_last"] == pytest.approx(last / 4 - 1)
    assert row["change_late"] == pytest.approx(last / 3 - 1)
    # ranks of 4, 3, 5, 1.03 are 3, 2, 4, 1: sum of squared differences to 1, 2, 3, 4 is 14
    assert row["spearman_epoch_margin_after_peak"] == pytest.approx(1 - 6 * 14 / (4 * 15))
    assert (row["frac_decreased"], row["num_paired"]) == (pytest.approx(38 / 39), 39)
    assert rows.loc["incorrect", "num_paired"] == 20
    assert rows.loc["incorrect", "frac_decreased"] == pytest.approx(19 / 20)
    # one of the 20 correct ones has no margin at the end: too few there
    assert np.isnan(rows.loc["correct", "margin_last"])
    assert rows.loc["correct", "num_moments"] == 5


def test_what_was_not_reached_is_nan(tmp_path, write_run, made, records):
    moments = MOMENTS[:2]
    tables = made["measured"](made["history"](moments, 0.5), made["margins"](moments, np.ones((2, 30)), True))
    write_run(tmp_path, tables)
    row = trend(records(tmp_path)).set_index("subset").loc["all"]
    missing = ["margin_epoch1", "margin_at_trainacc99", "change_peak_last", "change_late", "frac_decreased"]
    assert row[missing].isna().all()
    assert (row["margin_peak"], row["epoch_peak"], row["num_paired"]) == (1, 0.5, 0)
    assert trend([]).empty


def test_t1_gives_the_mean_and_the_ends_over_seeds_of_the_main_study(tmp_path, falling, records):
    for seed, factor in enumerate((1.0, 2.0, 3.0)):
        falling(tmp_path, factor=factor, seed=seed)
    falling(tmp_path, factor=50.0, study="control: sgd", settings={"optim": {"name": "sgd", "lr": 1}})
    table = t1(records(tmp_path))
    row = table.set_index("norm").loc["l2"]
    assert len(table) == 1
    assert (row["num_seeds"], row["num_images"], row["train_accuracy"]) == (3, 40, 1.0)
    assert row["test_accuracy"] == pytest.approx(0.7)
    assert (row["margin_peak"], row["margin_peak_low"], row["margin_peak_high"]) == (8, 4, 12)
    assert row["success_rate"] == 39 / 40
    paths = draw_figures("mickisch2020", "T1", records(tmp_path), tmp_path)
    assert [path.name for path in paths] == ["T1.csv", "T1.tex", "T1.md"]
    text = paths[2].read_text()
    assert "| digits | mlp | standard | l2 | test | 3 | 100.0% | 70.0% | 25.0% | 18 [9, 27] | 8 [4, 12] |" in text
    assert "seeds 0, 1, 2; standard training" in text


def test_t2_compares_correct_with_misclassified(tmp_path, write_run, made, records):
    value = np.concatenate([np.full(30, 4.0), np.full(20, 1.0), np.full(5, 4.0)])[None]
    tables = made["measured"](made["history"]([(0, 0.0)], 0.5), made["margins"]([(0, 0.0)], value, np.arange(55) < 30))
    write_run(tmp_path, tables)
    row = t2(records(tmp_path)).iloc[0]
    assert (row["margin_correct"], row["margin_incorrect"], row["ratio"]) == (4, 1.6, 0.4)
    assert row["auroc"] == pytest.approx(0.8 + 0.2 / 2)
    assert (row["num_correct"], row["num_incorrect"]) == (30, 25)


def test_auroc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    right, wrong = draw.integers(2, 9, 50).astype(float), draw.integers(0, 7, 30).astype(float)
    labels = np.repeat([0, 1], [50, 30])
    assert auroc(right, wrong) == pytest.approx(roc_auc_score(labels, -np.concatenate([right, wrong])))
