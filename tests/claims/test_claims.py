"""The framework: claims and their rows, the written page, the picture, evidence without tables."""

import numpy as np
import pandas as pd
import pytest

from bdry.claims import CLAIMS, Evidence, claim, judge
from bdry.figures import forest
from bdry.selection import page
from bdry.selection.claim import COLUMNS
from bdry.selection.effects import over_seeds
from bdry.selection.verdicts import Part, decide, not_run


@pytest.fixture
def made_paper():
    needs = (("mnist", ""), ("cifar10", "resnet18"))

    @claim("made2000", "C1", "It is large.", says="yes (abstract)", whose="abstract", primary=True, needs=needs)
    def large(evidence):
        """The mean of the
        test losses is above 1."""
        values = evidence.rows("history", study="main").groupby("seed")["test_loss"].mean()
        found = over_seeds(values)
        beside = Part("train", "mean loss", found, 5, True, secondary=True)
        return decide([Part("test", "mean loss", found, 1, True, left_out="1 of 6 seeds: slow (5)"), beside])

    @claim("made2000", "C2", "It is everywhere.", says="yes", whose="ours")
    def everywhere(evidence):
        """Never."""
        return not_run("there is only " + " and ".join(evidence.datasets()))

    @claim("made2000", "C3", "It adds up.", says="an identity", whose="theory", can_fail=False)
    def adds_up(evidence):
        """One is one."""
        return decide([Part("all", "sum", over_seeds([1, 1.1, 0.9, 1, 1]), 0, True)])

    yield "made2000"
    del CLAIMS["made2000"]


@pytest.fixture
def fragile():
    @claim("made2001", "C1", "It is large.", says="yes", whose="ours")
    def large(evidence):
        """The mean loss is above 1, where no loss is negative and no two seeds have the same."""
        losses = evidence.rows("history").set_index("seed")["test_loss"]
        if (losses < 0).any():
            raise ValueError("a negative loss\nin the second line")
        if losses.duplicated().any():
            raise KeyError(float(losses[losses.duplicated()].iloc[0]))
        return decide([Part("test", "mean loss", over_seeds(losses), 1, True)])

    yield "made2001"
    del CLAIMS["made2001"]


def losses(*values):
    about = {"experiment": "e", "study": "main", "dataset": "mnist", "arch": "lenet", "training": "standard"}
    return Evidence({"history": pd.DataFrame([{**about, "seed": n, "test_loss": v} for n, v in enumerate(values)])})


@pytest.mark.parametrize(
    ("values", "skipped"),
    [
        # at fault alone, two of them
        ([2.0, -1.0, 2.1, 2.2, 2.3, -3.0, 2.4], {1: "ValueError: a negative loss", 5: "ValueError: a negative loss"}),
        # at fault only together: the later one is left out
        ([2.0, 2.1, 2.2, 2.1, 2.3, 2.4], {3: "KeyError: 2.1"}),
        ([-1.0, 2.0, 2.1, 2.2, 2.0, 2.4, 2.5], {0: "ValueError: a negative loss", 4: "KeyError: 2.0"}),
    ],
)
def test_a_run_that_a_rule_cannot_take_hides_no_other(fragile, values, skipped, capsys):
    (row,) = judge(fragile, losses(*values)).to_dict("records")
    assert (row["verdict"], row["num_seeds"]) == ("supported", len(values) - len(skipped))
    kept = [value for seed, value in enumerate(values) if seed not in skipped]
    assert row["value"] == pytest.approx(sum(kept) / len(kept))
    words = [f"e, seed {seed}: C1 cannot be judged from its tables ({why})" for seed, why in skipped.items()]
    assert row["passed_over"] == "; ".join(words)
    assert capsys.readouterr().err.splitlines() == [f"skipped: {one}" for one in words]


def test_where_every_run_is_at_fault_nothing_is_judged(fragile, capsys):
    (row,) = judge(fragile, losses(-1.0, -2.0)).to_dict("records")
    assert row["verdict"] == "not run"
    assert row["reason"] == "cannot be judged from the tables of these runs (ValueError: a negative loss)"
    assert not capsys.readouterr().err


def evidence(num_seeds=5):
    rows = [
        {"experiment": d, "study": "main", "dataset": d, "arch": "lenet", "training": "standard", "seed": seed}
        | {"test_loss": loss + seed / 10}
        for d, loss in (("mnist", 2.0), ("digits", 0.1))
        for seed in range(num_seeds)
    ]
    return Evidence({"history": pd.DataFrame(rows)})


def test_a_row_for_each_claim_data_set_and_part(made_paper, tmp_path):
    verdicts = judge(made_paper, evidence())
    assert tuple(verdicts.columns) == COLUMNS
    found = verdicts[["claim", "dataset", "part", "part_verdict", "verdict"]]
    assert list(found.itertuples(index=False, name=None))[:7] == [
        ("C1", "digits", "test", "contradicted", "contradicted"),
        ("C1", "digits", "train", "contradicted", "contradicted"),
        ("C1", "mnist", "test", "supported", "supported"),
        ("C1", "mnist", "train", "contradicted", "supported"),
        ("C1", "cifar10", "resnet18", "not run", "not run"),
        ("C2", "digits", "", "not run", "not run"),
        ("C2", "mnist", "", "not run", "not run"),
    ]
    assert verdicts["rule"][0] == "The mean of the test losses is above 1."
    paths = [*page.write(verdicts, "Verdicts", tmp_path), *forest.draw(verdicts, "Verdicts", tmp_path)]
    names = ["claims.csv", "claims.md", *(f"claims-forest.{ending}" for ending in ("png", "pdf", "csv"))]
    assert [path.name for path in paths] == names
    text = paths[1].read_text()
    assert text.index("**supported** (p = ") < text.index("## Claims: the paper's") < text.index("## Claims: ours")
    assert text.index("## Claims: ours") < text.index("## Checks of the implementation") < text.index("## Rules")
    row = "| C1 (primary) | mnist | test | 2.2 [2, 2.4] | above 1 | 5 seeds | supported | **supported** |"
    assert row in text
    assert "- mnist, left out: 1 of 6 seeds: slow (5) (test)" in text
    assert "1 supported, 1 contradicted, 0 undecided, 3 not run" in text
    assert pd.read_csv(paths[0])["verdict"].tolist() == verdicts["verdict"].tolist()
    drawn = pd.read_csv(paths[-1])
    assert len(drawn) == (verdicts["value"].notna() & ~verdicts["secondary"]).sum()
    again = forest.draw(verdicts, "Verdicts", tmp_path / "again") if (tmp_path / "again").mkdir() is None else []
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths[2:]]
    beside = verdicts.assign(secondary=verdicts["part"] == "test")
    assert "test" not in set(forest.drawn(beside)["part"])
    assert "claims-forest" not in page.as_markdown(verdicts.assign(secondary=True), "Verdicts")


def test_without_any_value_there_is_no_picture_and_the_page_says_what_was_not_run(made_paper, tmp_path):
    verdicts = judge(made_paper, Evidence({}))
    assert set(verdicts["verdict"]) == {"not run"}
    assert forest.draw(verdicts, "Verdicts", tmp_path) == []
    text = page.as_markdown(verdicts, "Verdicts")
    assert "claims-forest" not in text
    assert "| C1 (primary) | cifar10 | resnet18 |  |  |  | not run | **not run** |" in text


def test_undecided_rows_say_what_would_decide(made_paper):
    few = judge(made_paper, evidence(3))
    row = few[(few["claim"] == "C1") & (few["dataset"] == "mnist")].iloc[0]
    assert (row["verdict"], row["num_seeds"], np.isnan(row["low"])) == ("undecided", 3, True)
    assert "3 of the 5 seeds that an interval needs" in row["reason"]


def test_a_picture_of_one_value_without_interval_is_drawn(made_paper, tmp_path):
    verdicts = judge(made_paper, evidence(1))
    assert len(forest.draw(verdicts, "one seed", tmp_path)) == 3


def test_preconditions_make_it_undecided_whatever_the_parts_say():
    part = Part("a", "s", over_seeds([1, 1.1, 0.9, 1, 1]), 0, True)
    found = decide([part], unless="nothing to prevent")
    assert (found.verdict, found.reason) == ("undecided", "nothing to prevent")


def test_a_table_that_nobody_has_is_empty_with_its_columns():
    rows = Evidence({}).rows("estimator_check", study="main")
    assert rows.empty
    assert {"seed", "epoch", "ratio"} <= set(rows.columns)
