"""The promise of docs/verdicts.md: each rule on many studies drawn under no effect, its own and the opposite one."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from . import test_fawzi2017, test_karimi2020, test_li2018, test_mickisch2020
from .simulated import shares

PAPERS = (test_fawzi2017, test_karimi2020, test_li2018, test_mickisch2020)
RULES = [(paper, name) for paper in PAPERS for name in paper.TRUTHS]
STUDIES, FEWER = 200, 25
# most of the studies that may go against a promise which is just kept, with 99 % probability
MOST = float(binom.ppf(0.99, STUDIES, 0.05)) / STUDIES
LEAST = float(binom.ppf(0.01, FEWER, 0.8)) / FEWER

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
each_rule = pytest.mark.parametrize(("paper", "name"), RULES, ids=[f"{paper.PAPER}-{name}" for paper, name in RULES])


@each_rule
def test_under_no_effect_at_most_five_percent_are_supported(paper, name):
    assert shares(paper.PAPER, name, paper.TRUTHS[name][0], STUDIES)["supported"] <= MOST


@each_rule
def test_under_the_claimed_effect_at_least_four_fifths_are_supported(paper, name):
    assert shares(paper.PAPER, name, paper.TRUTHS[name][1], FEWER)["supported"] >= LEAST


@each_rule
def test_under_the_opposite_effect_they_are_contradicted(paper, name):
    found = shares(paper.PAPER, name, paper.TRUTHS[name][2], FEWER)
    assert found["contradicted"] >= LEAST
    assert found["supported"] == 0
