"""The framework: intervals against closed forms, evidence from run folders, decisions, the written page."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bdry.claims import CLAIMS, Estimate, Evidence, claim, judge
from bdry.selection import page
from bdry.selection.intervals import estimate, over_seeds, proportion
from bdry.selection.verdicts import COLUMNS, decide, not_tested


def frame(values):
    return pd.DataFrame({"value": values})


def mean(part):
    return float(part["value"].mean())


def test_the_interval_over_seeds_is_students():
    values = [1.0, 2.0, 4.0]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.over == "3 seeds"


def test_one_seed_is_resampled_over_images():
    values = np.random.default_rng(1).normal(size=400)
    found = estimate(mean, {0: frame(values)})
    expected = stats.sem(values) * 1.96
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.15)
    assert found == estimate(mean, {0: frame(values)})


def test_samples_are_paired_by_seed_and_by_image():
    first = {0: frame([1.0, 2.0]), 1: frame([3.0, 5.0]), 2: frame([0.0, 0.0])}
    second = {0: frame([0.0, 1.0]), 1: frame([1.0, 3.0])}
    found = estimate(lambda a, b: mean(a) - mean(b), first, second)
    assert (found.value, found.over) == (1.5, "2 seeds")
    paired = estimate(lambda a, b: mean(a) - mean(b), {0: first[0]}, {0: second[0]})
    assert paired.low == paired.high == 1.0


def test_no_seed_and_no_number_have_no_interval():
    assert not estimate(mean, {}).known
    assert not over_seeds([1.0]).known
    assert not estimate(lambda part: math.nan, {0: frame([1.0])}).known


def test_a_share_has_its_exact_interval():
    found = proportion(10, 10, "10 comparisons")
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    assert not proportion(0, 0, "").known


ABOVE, ACROSS, BELOW = Estimate(2, 1, 3, "3 seeds"), Estimate(1, -1, 3, "3 seeds"), Estimate(-2, -3, -1, "3 seeds")


def test_the_part_least_in_favour_decides():
    assert decide([("a", ABOVE)], "s", above=0).verdict == "holds"
    found = decide([("a", ABOVE), ("b", ACROSS)], "s", above=0)
    assert (found.verdict, found.estimate) == ("does not hold", ACROSS)
    assert "includes 0" in found.reason
    assert decide([("a", BELOW), ("b", ABOVE)], "s", below=0).estimate == ABOVE
    assert decide([("a", BELOW)], "s", below=0).verdict == "holds"
    assert decide([], "s", below=0).verdict == "not tested"
    assert decide([("a", ABOVE), ("b", over_seeds([1.0]))], "s", above=0).verdict == "not tested"


@pytest.fixture
def made_paper():
    @claim("made2000", "C1", "It is large.", says="yes (abstract)")
    def large(evidence):
        """The mean of the
        test losses is above 1."""
        values = evidence.rows("history", study="main").groupby("seed")["test_loss"].mean()
        return decide([("test", over_seeds(values.tolist()))], "mean loss", above=1)

    @claim("made2000", "C2", "It is everywhere.", says="yes", pooled=True)
    def everywhere(evidence):
        """Not tested."""
        return not_tested("there are " + " and ".join(evidence.datasets()))

    yield "made2000"
    del CLAIMS["made2000"]


def test_a_row_for_each_claim_and_data_set(made_paper, tmp_path):
    rows = [
        {"experiment": d, "study": "main", "dataset": d, "training": "standard", "seed": seed}
        | {"test_loss": loss + seed / 10}
        for d, loss in (("mnist", 2.0), ("digits", 0.1))
        for seed in (0, 1, 2)
    ]
    verdicts = judge(made_paper, Evidence({"history": pd.DataFrame(rows)}))
    assert tuple(verdicts.columns) == COLUMNS
    assert list(zip(verdicts["claim"], verdicts["dataset"], verdicts["verdict"], strict=True)) == [
        ("C1", "digits", "does not hold"),
        ("C1", "mnist", "holds"),
        ("C2", "all", "not tested"),
    ]
    assert verdicts["rule"][0] == "The mean of the test losses is above 1."
    paths = page.write(verdicts, "Verdicts", tmp_path)
    assert [path.name for path in paths] == ["claims.csv", "claims.md"]
    text = paths[1].read_text()
    assert "| C1 | mnist | It is large. | 2.1 [1.85, 2.35] | **holds** |" in text
    assert "- all: **not tested**: there are digits and mnist." in text
    assert pd.read_csv(paths[0])["verdict"].tolist() == verdicts["verdict"].tolist()


def test_a_table_that_nobody_has_is_empty_with_its_columns():
    rows = Evidence({}).rows("estimator_check", study="main")
    assert rows.empty
    assert {"seed", "epoch", "ratio"} <= set(rows.columns)
