"""The probe `regions`: regions known in closed form, tables that fit, pairs that do not depend on the moment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.errors import UsageError
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.probes import PROBES, Context
from bdry.studies.regions import probe as regions
from bdry.studies.regions.settings import RegionsSettings

START = Moment(0, 0.0)
BASE = {
    "num_pairs": 6,
    "scenarios": ["natural", "perturbed", "random"],
    "split": "test",
    "num_images": None,
    "spacing": 1e-3,
    "depth": 6,
    "num_segments": 200,
    "num_retries": 2,
    "projection_steps": 30,
    "overshoot": 0.02,
    "clipped": False,
    "recheck": 0,
    "num_films": 2,
    "num_film_images": 5,
    "ks": [2, 3],
    "num_combinations": 20,
    "weight_laws": ["dirichlet", "uniform"],
    "batch_size": 256,
}


class Slab(nn.Module):
    """Class 0 where the mean pixel is more than `half` from its middle: two half-spaces, one region of two parts."""

    def __init__(self, middle, half):
        super().__init__()
        self.middle, self.half = middle, half

    def forward(self, x):
        value = (x.flatten(1).mean(1) - self.middle).abs() - self.half
        return torch.stack([value, -value], 1)


class HalfSpace(nn.Module):
    """Class 0 where the mean pixel is above 0.2."""

    def forward(self, x):
        value = x.flatten(1).mean(1) - 0.2
        return torch.stack([value, -value], 1)


class Constant(nn.Module):
    """Class 0 everywhere."""

    def forward(self, x):
        return torch.stack([0 * x.flatten(1).sum(1) + 1, 0 * x.flatten(1).sum(1)], 1)


@pytest.fixture
def classifier(tiny_dataset):
    return build_classifier(
        "mlp", (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0, options={"widths": [16], "activation": "relu"}
    )


def measure(model, dataset, moment=START, data_seed=0, **settings):
    probe = PROBES["regions"](Context(None, "none", data_seed), RegionsSettings(**(BASE | settings)))
    return probe.measure(model, dataset, moment)


def test_tables_fit_their_schemas_and_the_classifier_is_left_alone(tiny_dataset, classifier, tmp_path):
    weights = [parameter.clone() for parameter in classifier.parameters()]
    found = measure(classifier, tiny_dataset, Moment(3, 1.5))
    assert set(found.tables) == {"paths", "convexity"}
    for name, rows in found.tables.items():
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
    assert set(found.tables["paths"]["step"]) == {3}
    assert classifier.training
    assert all(torch.equal(a, b) for a, b in zip(weights, classifier.parameters(), strict=True))


def test_a_search_in_vain_tells_how_much_is_behind_it(tiny_dataset):
    """A share of all attempts or labels, from which the time left is reckoned: it grows while nothing is found."""
    found, said = {}, []
    for most in (None, 3000):
        found[most] = []
        context = Context(None, "none", 0, say=said.append, share=found[most].append)
        settings = {**BASE, "ks": [], "scenarios": ["natural"], "num_retries": 9, "max_labels": most}
        PROBES["regions"](context, RegionsSettings(**settings)).measure(Slab(0.5, 0.02), tiny_dataset, START)
        assert found[most] == sorted(found[most])
        assert 0 <= found[most][0] < 0.1
    assert 0.9 <= found[None][-1] < 1 == found[3000][-1]
    assert any("attempt 10" in line for line in said)


def test_too_few_images_are_refused_before_hours_of_paths(tiny_dataset, classifier, monkeypatch):
    monkeypatch.setattr(regions, "find_paths", None)
    with pytest.raises(UsageError, match=r"^ks=\[2,99\]: k=99: no region has so many of the .*: ks=\[2\] would do$"):
        measure(classifier, tiny_dataset, ks=[2, 99])


def test_a_pair_of_large_images_whose_labels_are_used_up_is_given_up_and_says_so(tiny_dataset, monkeypatch):
    """Two half-spaces are one region of two parts: a path from one to the other is looked for in vain."""
    slab = Slab(0.5, 0.02)
    without = measure(slab, tiny_dataset, num_retries=20, scenarios=["natural"], num_pairs=20).tables["paths"]
    monkeypatch.setattr(regions, "MANY_PIXELS", 15)
    monkeypatch.setattr(regions, "MANY_LABELS", 3000)
    cut_off = measure(slab, tiny_dataset, num_retries=20, scenarios=["natural"], num_pairs=20).tables["paths"]
    asked = measure(slab, tiny_dataset, num_retries=20, scenarios=["natural"], num_pairs=20, max_labels=10**9)
    in_vain = ~without["found"]
    assert 0 < in_vain.sum() < 20
    assert (without.loc[in_vain, "attempts"] == 21).all()
    assert (cut_off.loc[in_vain, "attempts"] < 21).all()
    assert cut_off.loc[in_vain, "budget_hit"].all()
    assert not cut_off.loc[in_vain, "found"].any()
    # what is straight is certified at the full number of samples
    pd.testing.assert_series_equal(cut_off["straight"], without["straight"])
    pd.testing.assert_frame_equal(asked.tables["paths"], without)


def test_a_half_space_is_connected_and_convex(tiny_dataset):
    found = measure(HalfSpace(), tiny_dataset, scenarios=["natural", "random"], recheck=10)
    paths = found.tables["paths"]
    assert paths["found"].all()
    natural = paths[paths["scenario"] == "natural"]
    assert natural["straight"].all()
    assert (natural["num_anchors"] == 0).all()
    np.testing.assert_allclose(natural["relative_length"], 1, rtol=1e-12)
    assert (paths["holds_finer"] == 1).all()
    assert (found.tables["convexity"]["hit_rate"] == 1).all()
    assert found.arrays["films"]["natural"].shape == (2, 5, 1, 4, 4)


def test_parts_that_a_slab_divides_are_not_joined(tiny_dataset):
    middle = float(tiny_dataset.test.pixels().mean())
    paths = measure(Slab(middle, 1e-3), tiny_dataset, scenarios=["natural"], num_pairs=20).tables["paths"]
    means = dict(zip(tiny_dataset.test.index.tolist(), tiny_dataset.test.pixels().mean((1, 2, 3)), strict=True))
    for row in paths[paths["label"] == 0].itertuples():
        together = (means[row.index1] > middle) == (means[row.index2] > middle)
        assert row.found == together
    assert set(paths["found"]) == {True, False}
    # what was not found has no length, and is not looked at again
    assert paths.loc[~paths["found"], "relative_length"].isna().all()


def test_scenarios_that_the_labels_do_not_allow_have_no_rows(tiny_dataset):
    found = measure(Constant(), tiny_dataset)
    assert set(found.tables["paths"]["scenario"]) == {"natural", "random"}


def test_a_point_that_cannot_be_brought_into_the_region_is_a_row_without_a_path(tiny_dataset, classifier):
    paths = measure(classifier, tiny_dataset, scenarios=["perturbed"], projection_steps=1, overshoot=0.0).tables[
        "paths"
    ]
    assert not paths.loc[~paths["in_region"], "found"].any()
    assert len(paths) == 6


def test_pairs_are_the_same_at_every_moment(tiny_dataset, classifier):
    first = measure(classifier, tiny_dataset).tables["paths"]
    again = measure(classifier, tiny_dataset, Moment(9, 3.0), batch_size=7).tables["paths"]
    keys = ["scenario", "pair", "index1", "index2", "found", "num_anchors"]
    assert first[keys].equals(again[keys])
    other = measure(classifier, tiny_dataset, data_seed=1).tables["paths"]
    assert not first[keys].equals(other[keys])
