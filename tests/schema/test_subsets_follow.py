"""`dataset.subset_seed=null`: every seed of one experiment has its own subset of the data."""

from dataclasses import replace

import pytest

from bdry.commands.train import subsets_follow
from bdry.conf import compose, load_grid, typed
from bdry.runs import Run
from bdry.settings import science


def composed(*words):
    return typed(compose("train", ["dataset=digits", "arch=mlp", *words]))


def test_the_subset_follows_the_seed_and_the_experiment_stays_one():
    configs = [composed("dataset.subset_seed=null", f"seed={seed}") for seed in (0, 3)]
    assert len({Run.of("x", science(config), config.seed).experiment for config in configs}) == 1
    assert [subsets_follow(config).dataset.subset_seed for config in configs] == [0, 3]
    fixed = composed("dataset.subset_seed=7", "seed=3")
    assert subsets_follow(fixed) == fixed
    assert subsets_follow(configs[1]) == replace(configs[1], dataset=replace(configs[1].dataset, subset_seed=3))


@pytest.mark.parametrize("paper", ["mickisch2020", "li2018", "karimi2020", "fawzi2017"])
def test_in_studies_of_subsets_it_does(paper):
    assert all("dataset.subset_seed=null" in training.overrides for training in load_grid(paper, "cpu").train)
