"""The figures of regions and curvature from made tables: what they draw, whose rows they take."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdry.figures.networks import by_activation_and_training
from bdry.runs import SCHEMA_VERSION, TABLES, Measurement
from bdry.studies.curvature.figures import (
    FAMILIES,
    _families_figure,
    _method,
    _sections_figure,
    curvature_data,
    families_data,
    profile_data,
    sections_data,
    sensitivity_data,
)
from bdry.studies.figures import FIGURES
from bdry.studies.regions.figures import NOT_FOUND, convexity_data, paths_data

NAMES = [
    "filmstrips",
    "paths",
    "convexity",
    "profile",
    "sections",
    "families",
    "sensitivity",
    "curvature_over_training",
    "regions_over_training",
]
SMOOTH = {"arch": {"name": "avgcnn", "activation": "softplus"}}


def rows(name, values, **constant):
    """Rows of a table: `values` by column, the other columns 0, nan or empty as their kind is."""
    found = pd.DataFrame(values).assign(**constant)
    nothing = {"int": 0, "float": np.nan, "str": "x", "bool": False}
    for column in TABLES[name].columns:
        if column.name not in found:
            found[column.name] = nothing[column.kind]
    return found[TABLES[name].column_names]


def measure(run, command, tables, number=0):
    """A finished measurement of the run with these tables."""
    folder = Measurement.of_run(run, command, {"number": number})
    with folder.claimed():
        folder.write_config({"schema": SCHEMA_VERSION})
        for name, found in tables.items():
            folder.writer(name).append(found)
        folder.set_status("finished")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_without_data_a_figure_is_nothing(name, tmp_path):
    assert FIGURES["fawzi2017"][name].draw(name, [], tmp_path) == []


def test_paths_are_sorted_into_classes_of_which_not_found_is_one(tmp_path, write_run, records):
    length = [1.0, 1 + 3e-5, 1.05, np.nan]
    made = rows(
        "paths",
        {"relative_length": length, "num_anchors": [0, 1, 40, -1], "straight": [True, False, False, False]},
        scenario="natural",
        in_region=True,
    )
    made["found"] = made["relative_length"].notna()
    outside = made.tail(1).assign(in_region=False)
    write_run(tmp_path, {"paths": pd.concat([made, outside])}, settings=SMOOTH)
    drawn = paths_data(records(tmp_path))
    assert (drawn["num_images"] == 4).all()
    shares = drawn[drawn["value"] > 0].set_index(["quantity", "class"])["value"]
    assert shares.to_dict() == {
        ("length", "0"): 0.25, ("length", "< 1e-4"): 0.25, ("length", "< 0.1"): 0.25, ("length", NOT_FOUND): 0.25,
        ("anchors", "0"): 0.25, ("anchors", "1"): 0.25, ("anchors", "32-99"): 0.25, ("anchors", NOT_FOUND): 0.25,
    }  # fmt: skip
    assert drawn.groupby("quantity")["value"].sum().to_dict() == {"length": 1, "anchors": 1}


def test_convexity_pools_the_regions_and_bands_are_its_interval_or_seeds(tmp_path, write_run, records):
    values = {"k": [2, 2], "region": [0, -1], "hit_rate": [0.5, 0.9], "ci_low": [0.4, 0.8], "ci_high": [0.6, 0.95]}
    made = rows("convexity", values, weight_law="dirichlet", num_combinations=50)
    write_run(tmp_path, {"convexity": made}, settings=SMOOTH)
    (row,) = convexity_data(records(tmp_path)).to_dict("records")
    assert (row["value"], row["low"], row["high"]) == (0.9, 0.8, 0.95)
    write_run(tmp_path, {"convexity": made.assign(hit_rate=0.7)}, settings=SMOOTH, seed=1)
    (row,) = convexity_data(records(tmp_path)).to_dict("records")
    assert (row["value"], row["low"], row["high"]) == (pytest.approx(0.8), 0.7, 0.9)


def test_families_count_points_that_are_mostly_on_their_own_side(tmp_path, write_run, records):
    values = {"share_own_side": [0.9, 0.6, 0.4, 0.51], "mean_kappa": [1.0, 0.5, -0.5, np.nan]}
    write_run(tmp_path, {"tangent_sides": rows("tangent_sides", values, family="random_dir", t=0.3)}, settings=SMOOTH)
    drawn = families_data(records(tmp_path)).set_index("panel")
    assert drawn.loc["side", "value"] == 0.75
    assert drawn.loc["curvature", "value"] == pytest.approx(1 / 3)
    assert drawn["num_images"].to_dict() == {"side": 4, "curvature": 3}


def test_families_share_one_scale_of_curvature(tmp_path, write_run, records):
    values = {"share_own_side": [0.9, 0.6], "mean_kappa": [1.0, 0.5]}
    sides = [
        rows("tangent_sides", values, family=name, t=0.3).assign(mean_kappa=kappa)
        for name, kappa in zip(FAMILIES, (1.0, 0.1, -0.1, -2.0), strict=True)
    ]
    write_run(tmp_path, {"tangent_sides": pd.concat(sides)}, settings=SMOOTH)
    places = _families_figure(families_data(records(tmp_path)), "a title").axes
    (ends,) = {place.get_ylim() for place in places[4:]}
    assert ends[0] < -2 < 1 < ends[1]


def test_a_title_has_the_methods_words_and_scale():
    assert [_method(name) for name in ("ad", "softplus_swap 30", "fashion_mnist")] == [
        "exact second derivatives",
        "softplus swap, beta 30",
        "fashion_mnist",
    ]


def test_the_profile_is_the_mean_over_seeds_at_each_rank(tmp_path, write_run, records):
    values = {"rank": [1, 2], "mean": [2.0, -1.0], "q10": [1.0, -2.0], "q50": [2.0, -1.0], "q90": [3.0, 0.0]}
    for seed in (0, 1):
        made = rows("curvature_profile", values, family="nearest_refined", method="ad", num_points=5)
        made["mean"] += seed
        write_run(tmp_path, {"curvature_profile": made}, settings=SMOOTH, seed=seed)
    drawn = profile_data(records(tmp_path))
    assert drawn["value"].tolist() == [2.5, -0.5]
    assert set(drawn["method"]) == {"ad"}


def test_sensitivity_is_drawn_of_runs_with_several_scales_of_a_method(tmp_path, write_run, records):
    values = {"method": ["fd", "fd", "ad"], "scale": [0.1, 1.0, np.nan], "kmax": [3.0, 2.0, 4.0]}
    made = rows("curvature_summary", values, family="nearest_refined", sym_defect=0.5)
    run = write_run(tmp_path, {}, settings=SMOOTH)
    measure(run, "curvature", {"curvature_summary": made.iloc[1:]})
    assert sensitivity_data(records(tmp_path)).empty
    # the second has one row in common with the first, and an image that only the exact method saw
    elsewhere = made.tail(1).assign(index=7, kmax=100.0)
    measure(run, "curvature", {"curvature_summary": pd.concat([made, elsewhere])}, number=1)
    drawn = sensitivity_data(records(tmp_path))
    largest = drawn[drawn["series"] == "largest"]
    assert largest["value"].tolist() == [4, 3, 2]
    assert set(drawn["num_images"]) == {1}
    assert (drawn.loc[drawn["panel"].str.startswith("defect"), "value"] == 0.5).all()


def test_curves_over_training_take_the_smallest_distance_of_kinked_networks(tmp_path, write_run, records):
    moments = {"step": [0, 0, 5, 5], "epoch": [0.0, 0.0, 1.0, 1.0]}
    made = rows(
        "curvature_summary",
        moments | {"scale": [0.3, 3.0] * 2, "kmax": [1.0, 9.0, 2.0, 9.0]},
        family="nearest_refined",
        method="geometric",
    )
    sides = rows("tangent_sides", moments | {"t": [0.3, 3.0] * 2}, share_own_side=0.7, family="nearest_refined")
    relu = {"arch": {"name": "avgcnn", "activation": "relu"}}
    write_run(tmp_path, {"curvature_summary": made, "tangent_sides": sides}, settings=relu)
    drawn = curvature_data(records(tmp_path))
    assert drawn.loc[drawn["panel"] == "kmax", "value"].tolist() == [1, 2]
    assert drawn.loc[drawn["panel"] == "side", "value"].tolist() == [1, 1]
    assert (drawn["panel"] == "frac_abs_lt_5pct").sum() == 0


def test_an_activation_has_one_colour_and_a_training_one_line():
    series = ["relu, standard", "relu, PGD linf", "silu, PGD linf"]
    placed, legend = by_activation_and_training(
        pd.DataFrame({"series": series, "training": ["standard", "pgd linf", "pgd linf"]})
    )
    standard, adversarial, smooth = (legend.style(*key) for key in placed[["series", "line"]].itertuples(index=False))
    assert standard["color"] == adversarial["color"] != smooth["color"]
    assert standard["linestyle"] == "-" != adversarial["linestyle"] == smooth["linestyle"]


def test_a_share_of_points_has_no_quartiles(tmp_path, write_run, records):
    made = rows(
        "tangent_sides",
        {"step": [0, 0, 0, 5], "epoch": [0.0, 0.0, 0.0, 1.0], "share_own_side": [0.9, 0.1, 0.5, 0.6], "t": 1.0},
        family="nearest_refined",
    )
    bent = rows("curvature_summary", {"step": [0, 5], "kmax": [1.0, 2.0]}, family="nearest_refined", method="ad")
    write_run(tmp_path, {"curvature_summary": bent, "tangent_sides": made}, settings=SMOOTH)
    drawn = curvature_data(records(tmp_path))
    side = drawn[drawn["panel"] == "side"]
    assert side["value"].tolist() == [0.5, 1]
    assert side[["low", "high"]].isna().all(axis=None)


@pytest.fixture
def two_rates(tmp_path, write_run, records):
    """Two networks that differ in the learning rate alone, each with curvatures over training."""
    for rate in (0.1, 0.2):
        bent = rows(
            "curvature_summary",
            {"step": [0, 5], "epoch": [0.0, 1.0], "kmax": [1.0, rate]},
            family="nearest_refined",
            method="ad",
        )
        sides = rows(
            "tangent_sides",
            {"step": [0, 5], "epoch": [0.0, 1.0], "share_own_side": 0.7, "t": 1.0},
            family="nearest_refined",
        )
        write_run(
            tmp_path, {"curvature_summary": bent, "tangent_sides": sides}, settings=SMOOTH | {"optim": {"lr": rate}}
        )
    return records(tmp_path)


def test_networks_that_differ_in_another_key_are_told_apart_in_legends(two_rates):
    drawn = curvature_data(two_rates)
    assert set(drawn["series"]) == {"softplus, standard, lr=0.1", "softplus, standard, lr=0.2"}
    placed, legend = by_activation_and_training(drawn)
    assert legend.series == ["softplus, lr=0.1", "softplus, lr=0.2"]
    assert set(placed["line"]) == {"standard"}


def lines_of_a_section(**more):
    """The x of the curves that `sections` draws of one point, and what its legend calls them."""
    labels = np.zeros((1, 5, 5), dtype=np.int64)
    planes = {"index": np.zeros(1, int), "own": np.zeros(1, int), "other": np.ones(1, int)}
    planes |= {"axis": np.linspace(-2, 2, 5), **dict.fromkeys(("max", "min", "random"), labels)}
    planes |= {"kmax": np.full(1, 0.5), "kmin": np.full(1, -0.5), **more}
    figure = _sections_figure(sections_data(pd.DataFrame(), planes), planes, "title")
    curves = [curve for axis in figure.axes for curve in axis.lines if len(curve.get_xdata()) > 1]
    drawn = [np.asarray(curve.get_xdata())[np.isfinite(curve.get_ydata())] for curve in curves]
    return [float(abs(x).max()) for x in drawn], figure.legends[0].get_texts()[-1].get_text()


def test_a_section_continues_a_curvature_no_further_than_it_was_measured():
    ends, words = lines_of_a_section()
    assert ends == [2, 2]
    assert "continued" in words
    assert lines_of_a_section(distance=np.full(1, np.nan)) == (ends, words)
    ends, words = lines_of_a_section(distance=np.full(1, 0.3))
    assert ends == pytest.approx([0.3, 0.3], abs=0.02)
    assert words == "the curvature measured at the distance 0.3"
