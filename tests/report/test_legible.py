"""What makes a figure legible: classes by name, ticks that do not touch, bands that leave the curves their room."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bdry.figures.captions import caption
from bdry.figures.classes import LONGEST, class_names, name_axes
from bdry.figures.curves import Legend, Panel, by_split, epoch_axis, log_labels, plot, same_scale
from bdry.figures.forest import COLUMNS, forest
from bdry.figures.style import RC, save
from bdry.studies.lastlayer.figures.layers import _heat


@pytest.fixture
def record(tmp_path, write_run, records):
    """A function that gives the record of a run on a data set, whose first start told these classes, if any."""

    def make(told=None, **dataset):
        run = write_run(tmp_path, {}, settings={"dataset": dataset})
        if told is not None:
            run.add_provenance({"classes": told})
        return next(found for found in records(tmp_path) if found.run.path == run.path)

    return make


def test_classes_have_the_names_that_the_run_began_with_and_else_those_of_its_data_set(record):
    assert class_names(record(name="fashion_mnist"), 2) == ["T-shirt/top", "Trouser"]
    assert class_names(record(["cat", "dog"], name="folder"), 3) == ["cat", "dog", "2"]


def test_classes_that_were_chosen_have_their_own_names(record):
    assert class_names(record(name="cifar10", classes=[8, 3]), 2) == ["ship", "cat"]


def test_a_name_from_a_stranger_neither_breaks_a_figure_nor_fills_it(record):
    odd = ["$\\frac{1}$", "=1+1", "x" * 400, 7, "\x1b[2J"]
    names = class_names(record(odd, name="folder"), 5)
    assert names[1:] == ["1", "x" * (LONGEST - 1) + "…", "3", "4"]
    figure = Figure()
    name_axes(figure.subplots(), names)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == names


@pytest.mark.parametrize(("low", "high"), [(0.3, 4.6), (2.6, 6.8), (0.9, 60), (1e-4, 300), (1, 1.4)])
def test_labels_of_a_logarithmic_axis_do_not_touch(low, high):
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(3.4, 2.5), layout="constrained")
        axis = figure.subplots()
        axis.plot([low, high], [0, 1])
        axis.set_xscale("log")
        log_labels(axis.xaxis)
        figure.draw_without_rendering()
    every = [*axis.xaxis.get_ticklabels(which="major"), *axis.xaxis.get_ticklabels(which="minor")]
    boxes = sorted((text.get_window_extent() for text in every if text.get_text()), key=lambda box: box.x0)
    assert len([box for box in boxes if box.x0 >= axis.bbox.x0 - 20 and box.x1 <= axis.bbox.x1 + 20]) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("epochs", [[0, 2, 5], [0, 1, 3], [0, 0.5, 1, 2, 3, 5, 8, 20], [0, 1, 2, 4, 8, 256]])
def test_an_axis_of_epochs_has_labels_enough(epochs):
    axis = Figure().subplots()
    epoch_axis(axis, pd.Series(epochs, dtype=float))
    assert len(axis.get_xticks()) >= 3
    assert set(axis.get_xticks()) <= {0, *np.arange(0, 1, 0.1).round(1), *range(257)}


def points(**columns):
    about = {"series": "standard", "split": "test", "lower_bound": np.nan, "adv_eps": np.nan}
    return pd.DataFrame({"epoch": [0.0, 1.0, 2.0], **columns}).assign(**about)


def test_a_band_far_above_every_curve_does_not_set_the_axis():
    rows = points(value=[1.0, 2.0, 1.5], low=[0.5, 1.5, 1.0], high=[40.0, 2.2, 1.6])
    legend = by_split(["standard"], rows)
    wide, near = Figure().subplots(), Figure().subplots()
    plot(wide, rows, legend, Panel("x", "y"))
    assert 2.0 < wide.get_ylim()[1] <= 2.5
    plot(near, rows.assign(high=[1.2, 2.3, 1.6]), legend, Panel("x", "y"))
    assert near.get_ylim()[1] > 2.3


def test_a_value_at_initialisation_far_above_all_later_ones_is_said_and_does_not_set_the_axis():
    rows = points(value=[45.9, 0.2, 0.16], low=[27.0, 0.15, 0.15], high=[106.0, 0.25, 0.17])
    legend = by_split(["standard"], rows)
    far, near = Figure().subplots(), Figure().subplots()
    plot(far, rows, legend, Panel("x", "y"))
    assert 0.2 < far.get_ylim()[1] <= 0.25
    assert [text.get_text() for text in far.texts] == ["$\\uparrow$ 46 at initialisation"]
    plot(near, rows.assign(value=[1.9, 0.2, 0.16]), legend, Panel("x", "y"))
    assert near.get_ylim()[1] > 1.9
    assert not near.texts


def test_a_legend_names_only_splits_that_are_drawn():
    rows = points(value=1.0, low=np.nan, high=np.nan)
    assert list(by_split(["standard"], rows).entries()) == ["test"]
    assert isinstance(by_split(["standard"], rows), Legend)


def test_a_colour_that_covers_little_is_saved_as_it_is(tmp_path):
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(6, 4))
        axis = figure.subplots()
        axis.imshow(np.linspace(0, 1, 40_000).reshape(200, 200), cmap="viridis", extent=(0, 1, 0, 1))
        inset = figure.add_axes((0.02, 0.02, 0.03, 0.03))
        inset.set_facecolor("#cc0000")
    path = save(figure, pd.DataFrame({"x": [0]}), tmp_path / "f")[0]
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (abs(pixels - [204, 0, 0]).max(axis=2) < 10).sum() > 200


def test_pairs_of_classes_of_all_stages_share_one_scale():
    i, j = np.indices((3, 3)).reshape(2, -1)
    cells = pd.DataFrame({"class_i": i, "class_j": j, "name_i": np.take(["a", "b", "c"], i)})
    stages = {"whole": 30.0, "accelerated": 1.0}
    drawn = pd.concat([cells.assign(stage=stage, angle_deg=angle) for stage, angle in stages.items()])
    drawn.loc[drawn["class_i"] == drawn["class_j"], "angle_deg"] = np.nan
    whole, accelerated, *bars = _heat(drawn, "a title").axes
    assert whole.images[0].norm is accelerated.images[0].norm
    assert len(bars) == 1
    assert [text.get_text() for text in whole.get_xticklabels()] == ["a", "b", "c"]


def test_panels_that_are_compared_have_the_widest_scale():
    left, right = Figure().subplots(1, 2)
    left.set_ylim(0, 3)
    right.set_ylim(-1, 2)
    same_scale([left, right])
    assert left.get_ylim() == right.get_ylim() == (-1, 3)


@pytest.mark.parametrize(("values", "some"), [([0.8, 6.5], ["1", "2", "5"]), ([0.98, 1.02], ["0.99", "1", "1.01"])])
def test_an_axis_of_ratios_has_round_numbers(values, some):
    row = {
        "claim": "B3",
        "dataset": "mnist",
        "part": "all",
        "statistic": "factor",
        "scale": "ratio",
    }
    row |= {"bound": 1.0, "side": ">", "part_verdict": "supported"}
    rows = pd.DataFrame([row | {"value": value, "low": value, "high": value} for value in values])[COLUMNS]
    figure = forest(rows, "a title")
    figure.draw_without_rendering()
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    texts = [text.get_text() for text in axis.get_xticklabels() if text.get_text()]
    assert set(some) <= set(texts)
    assert all(len(text) <= 5 for text in texts)


def test_a_caption_names_the_seeds_that_are_drawn_and_bands_where_there_are_some(tmp_path, write_run, records):
    for seed in (0, 1, 2):
        write_run(tmp_path, {}, seed=seed)
    found = records(tmp_path)
    drawn = pd.DataFrame({"experiment": [found[0].identity["experiment"]], "num_seeds": 2, "num_images": 5})
    curves = caption("What", "It is.", drawn.assign(seeds="0 2"), found, quartiles=False)
    assert "seeds 0, 2;" in curves
    assert "bands: smallest to largest seed" in curves
    bars = caption("What", "It is.", drawn.assign(seed=1), found, quartiles=None, bands=False)
    assert "seed 1;" in bars
    assert "bands" not in bars
    assert "seeds 0, 1, 2;" in caption("What", "It is.", drawn, found, quartiles=False)
