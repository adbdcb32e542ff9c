"""Every number in the findings is in the published tables; and the script that checks it finds those that are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("check_numbers", ROOT / "scripts" / "check_numbers.py")
check_numbers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_numbers)

FROM = "<!-- from mickisch2020/claims.csv: claim=C1; dataset=mnist -->"


@pytest.fixture
def root(tmp_path):
    results = tmp_path / "docs" / "results" / "mickisch2020"
    (results / "data").mkdir(parents=True)
    rows = [("C1", "mnist", -0.2514, 3.14e-5), ("C1", "cifar10", 0.77, 0.5), ("C2", "mnist", 0.123, 0.9)]
    table = pd.DataFrame(rows, columns=["claim", "dataset", "value", "p_value"])
    table.to_csv(results / "claims.csv", index=False)
    table.to_csv(results / "data" / "some.csv.xz", index=False)
    return tmp_path


def problems(root, text, page="findings.md"):
    (root / "docs" / page).write_text(text)
    return check_numbers.check(root)


@pytest.mark.parametrize(
    "text",
    [
        f"It falls by 25 % {FROM}",
        f"It falls by 25.1% (-0.251, p = 3.1e-5), over 6 seeds. {FROM}",
        f"Here 0.25 {FROM}\n\nand 0.123, 0.9 <!-- from mickisch2020/claims.csv: claim=C2 -->",
        "It is 0.77 <!-- from mickisch2020/data/some.csv.xz: dataset=cifar10 -->",
        "With `alpha=0.8`, [arXiv 2002.01810](https://arxiv.org/abs/2002.01810), 12 seeds.",
        f"- 0.25 {FROM}\n- 0.12 <!-- from mickisch2020/claims.csv: claim=C2 -->",
    ],
)
def test_numbers_of_the_rows_named_pass(root, text):
    assert problems(root, text) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"It falls by 26 % {FROM}", "docs/findings.md:1: 26 % is in none of the rows named"),
        (f"\nIt falls by 0.2515 {FROM}", "docs/findings.md:2: 0.2515 is in none of the rows named"),
        (f"p = 3.2e-5 {FROM}", "docs/findings.md:1: 3.2e-5 is in none of the rows named"),
        ("It is 0.25", "docs/findings.md:1: 0.25 names no published table"),
        (f"- of one item 0.25 {FROM}\n- and 0.12", "docs/findings.md:2: 0.12 names no published table"),
        (f"| 0.25 | {FROM}\n| 0.5 |", "docs/findings.md:2: 0.5 names no published table"),
        (
            "<!-- from li2018/claims.csv: claim=C1 -->",
            "docs/findings.md:1: docs/results/li2018/claims.csv is not there",
        ),
        (
            "<!-- from mickisch2020/claims.csv: claim=C9 -->",
            "docs/findings.md:1: docs/results/mickisch2020/claims.csv has no row with claim=C9",
        ),
        (
            f"{FROM.replace('dataset', 'data')}",
            "docs/findings.md:1: docs/results/mickisch2020/claims.csv has no column data",
        ),
    ],
)
def test_a_number_or_a_row_that_is_not_there_is_told(root, text, line):
    assert problems(root, text) == [line]


def test_of_a_papers_page_the_findings_are_checked_and_settings_are_not(root):
    text = "# Page\n\nWith alpha 0.8.\n\n## What was found\n\nIt is 0.8.\n\n## Speed\n\nIt takes 1.5 s.\n"
    assert problems(root, text, "li2018.md") == ["docs/li2018.md:7: 0.8 names no published table"]
    assert problems(root, f"It is 0.8 {FROM}", "li2018.md") == ["docs/li2018.md:1: 0.8 is in none of the rows named"]


def test_every_number_of_the_findings_is_published():
    assert check_numbers.check(ROOT) == []
