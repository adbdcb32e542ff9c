"""Seeds are pooled and experiments are not: which of several counts where a rule takes all rows of a cell together."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, judge
from bdry.selection.claim import CELLS

from .margins_over_training import margins, study

IN_A_CELL = CELLS["mickisch2020"]


def config(lr=0.01, adv="none", study="main"):
    return {
        "dataset": {"name": "fashion_mnist"},
        "arch": {"name": "lenet"},
        "optim": {"name": "adam", "lr": lr},
        "adv": {"name": adv},
        "study": study,
        "seed": 0,
        "outputs": f"out-{lr}",
    }


def rows(experiment, seeds, training="standard", study="main", arch="lenet"):
    about = {"experiment": experiment, "study": study, "dataset": "fashion_mnist", "arch": arch, "training": training}
    return pd.DataFrame([about | {"measurement": "training", "seed": seed} for seed in range(seeds)])


def chosen(*runs, cell=IN_A_CELL, configs=None, finished=None):
    """The experiments that count of these rows, and the reasons of the others."""
    table = pd.concat(runs, ignore_index=True)
    found, reasons = Evidence({"history": table}, configs or {}, finished=finished or {}).of_one_experiment(cell)
    kept = set(found.tables["history"]["experiment"])
    assert kept | set(reasons) == set(table["experiment"])
    assert kept.isdisjoint(reasons)
    assert set(found.passed["experiment"]) == set(reasons)
    return kept, reasons


def test_a_verdict_is_on_the_experiment_with_most_seeds_and_names_the_other(monkeypatch, capsys):
    monkeypatch.setitem(CLAIMS, "mickisch2020", {"C1": CLAIMS["mickisch2020"]["C1"]})
    alone = study(margins(np.random.default_rng(0), -0.4, seeds=range(6)), seeds=range(6))
    other = study(margins(np.random.default_rng(1), 0.4, seeds=range(5)), seeds=range(5))
    both = {
        name: pd.concat([other.tables[name].assign(experiment="other"), table], ignore_index=True).assign(
            measurement="training"
        )
        for name, table in alone.tables.items()
    }
    configs = {"standard-main": config(0.01), "other": config(0.1)}
    expected, found = judge("mickisch2020", alone), judge("mickisch2020", Evidence(both, configs))
    numbers = ["part", "value", "low", "high", "num_seeds", "verdict"]
    pd.testing.assert_frame_equal(found[numbers], expected[numbers])
    assert found["verdict"].iloc[0] == "supported"
    words = "verdicts are on standard-main: optim.lr 0.1, not 0.01"
    assert words in found["passed_over"].iloc[0]
    assert capsys.readouterr().err == f"passed over: other ({words})\n"


def test_of_equally_many_seeds_the_one_that_was_finished_first_counts():
    for first, second in (("a", "b"), ("b", "a")):
        finished = {first: "2026-11-01T10:00", second: "2026-11-02T10:00"}
        kept, reasons = chosen(rows("a", 3), rows("b", 3), finished=finished)
        assert kept == {first}
        assert reasons == {second: f"verdicts are on {first}"}


def test_trainings_that_differ_in_the_adversary_alone_are_compared():
    configs = {"a": config(0.01), "b": config(0.1), "b-pgd": config(0.1, "pgd")}
    pgd = rows("b-pgd", 2, "pgd linf")
    assert chosen(rows("a", 3), rows("b", 2), pgd, configs=configs)[0] == {"b", "b-pgd"}
    # another learning rate for PGD is no reason to leave it out, where there is no other
    assert chosen(rows("a", 3), pgd, configs=configs)[0] == {"a", "b-pgd"}


def test_where_and_how_a_run_was_made_does_not_tell_families_apart():
    configs = {"a": config(), "b": config(0.1), "a-pgd": {**config(adv="pgd"), "outputs": "elsewhere", "threads": 1}}
    assert chosen(rows("a", 2), rows("b", 3), rows("a-pgd", 2, "pgd linf"), configs=configs)[0] == {"a", "a-pgd"}


def test_each_study_has_its_own():
    found = chosen(rows("a", 2), rows("b", 3), rows("c", 1, study="control: SGD"))
    assert found[0] == {"b", "c"}


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_architecture_the_main_study_and_standard_training_come_first(order):
    tables = [
        rows("main", 2),
        rows("pgd", 5, "pgd linf"),
        rows("fewer", 4, study="convolutional"),
        rows("cnn", 1, study="convolutional", arch="cnn"),
        rows("pilot", 9, study="pilot"),
    ]
    kept, reasons = chosen(*tables[::order], cell=CELLS["karimi2020"])
    # a study that is in no cell stays as it is
    assert kept == {"main", "cnn", "pilot"}
    assert set(reasons) == {"pgd", "fewer"}


def test_rules_that_take_each_experiment_by_itself_are_left_alone():
    assert set(CELLS) == {"mickisch2020", "karimi2020"}
