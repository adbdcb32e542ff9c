"""The probe `curvature`: spheres in closed form by every method, affine and kinked networks, tables that fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bdry.core.moment import Moment
from bdry.errors import UsageError
from bdry.models import build_classifier
from bdry.runs import TABLES, TableWriter, read_table
from bdry.studies.curvature import methods
from bdry.studies.curvature import probe as curvature
from bdry.studies.curvature.settings import CurvatureSettings
from bdry.studies.probes import PROBES, Context

FAMILIES = ["nearest_refined", "deepfool_end", "nat_segment", "random_dir"]
START = Moment(0, 0.0)
BASE = {
    "num_images": 6,
    "split": "test",
    "families": FAMILIES,
    "spectra": FAMILIES,
    "methods": ["auto"],
    "solver": "auto",
    "num_principal": 2,
    "distances": [0.05, 0.1],
    "num_directions": 10,
    "betas": [10.0],
    "sigmas": [0.05],
    "num_draws": 50,
    "fd_steps": [1.0],
    "estimator": "walk",
    "num_sections": 2,
    "extent": 0.5,
    "resolution": 9,
    "batch_size": 64,
}


class Ball(nn.Module):
    """Class 1 inside a sphere around the middle of the box, class 0 outside."""

    def __init__(self, radius):
        super().__init__()
        self.radius = radius

    def forward(self, x):
        value = (x - 0.5).flatten(1).square().sum(1) - self.radius**2
        return torch.stack([value, torch.zeros_like(value)], 1)


def network(name="mlp", activation="softplus"):
    options = {} if name == "linear" else {"activation": activation}
    if name == "mlp":
        options["widths"] = [16]
    return build_classifier(name, (1, 4, 4), 3, mean=[0.5], std=[0.3], seed=0, options=options)


def measure(model, dataset, moment=START, **settings):
    return PROBES["curvature"](Context(None, "none", 0), CurvatureSettings(**(BASE | settings))).measure(
        model, dataset, moment
    )


@pytest.mark.parametrize("model", [network(), network(activation="relu"), network("linear")])
def test_tables_fit_their_schemas_and_the_classifier_is_left_alone(model, tiny_dataset, tmp_path):
    weights = [parameter.clone() for parameter in model.parameters()]
    found = measure(model, tiny_dataset, Moment(3, 1.5))
    assert set(found.tables) >= {"boundary", "curvature_summary", "tangent_sides"}
    for name, rows in found.tables.items():
        TableWriter(tmp_path / name, TABLES[name]).append(rows)
        assert len(read_table(tmp_path / name, TABLES[name])) == len(rows)
        assert set(rows["step"]) == {3}
    assert len(found.tables["boundary"]) == 6 * len(FAMILIES)
    assert model.training
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


@pytest.mark.parametrize("method", ["ad", "fd", "geometric"])
@pytest.mark.parametrize("radius", [0.5, 1.5])
def test_every_curvature_of_a_sphere_is_1_over_its_radius(method, radius, tiny_dataset):
    """With R = 0.5 all images are outside, with 1.5 all are inside: there the sign is the other."""
    found = measure(Ball(radius), tiny_dataset, methods=[method], families=["nearest_refined", "deepfool_end"])
    boundary, summary = found.tables["boundary"], found.tables["curvature_summary"]
    assert boundary["success"].all()
    outside = 1 if radius == 0.5 else -1
    assert set(boundary["own"]) == {0 if outside == 1 else 1}
    for column in ("kmax", "kmin", "mean_kappa"):
        # at distance t a sphere's height is R - sqrt(R^2 - t^2): 1 % more than t^2 / 2R at t = R / 5
        np.testing.assert_allclose(summary[column], outside / radius, rtol=0.02)
    sides = found.tables["tangent_sides"]
    assert (sides["share_own_side"] == (1 if outside == 1 else 0)).all()
    np.testing.assert_allclose(sides["mean_kappa"], outside / radius, rtol=0.02)
    if method == "ad":
        exact = outside / radius
        np.testing.assert_allclose(summary["trace"], 15 * exact, rtol=1e-9)
        assert set(zip(summary["num_pos"], summary["num_neg"], strict=True)) == {(15, 0) if outside == 1 else (0, 15)}
        nearest = boundary[boundary["family"] == "nearest_refined"]
        np.testing.assert_allclose(nearest["kappa_min_times_distance"], exact * nearest["distance"], rtol=1e-6)
        # the second-order condition of a nearest point
        assert (nearest["kappa_min_times_distance"] >= -1.001).all()


def test_heights_of_large_images_are_those_of_float64_but_for_rounding(tiny_dataset, monkeypatch):
    model, settings = network(activation="relu"), {"methods": ["geometric"], "distances": [0.3], "solver": "dense"}
    exact = measure(model, tiny_dataset, **settings)
    seen = []
    looks = methods.geometric_curvature
    monkeypatch.setattr(methods, "geometric_curvature", lambda *a, **k: seen.append(a[1].dtype) or looks(*a, **k))
    monkeypatch.setattr(curvature, "MANY_PIXELS", 15)
    single = measure(model, tiny_dataset, **settings)
    assert set(seen) == {torch.float32}
    for table, columns in {
        "boundary": ["distance", "value"],
        "tangent_sides": ["share_own_side", "mean_kappa", "mean_kappa_error", "share_found"],
        "curvature_summary": ["kmax", "kmin", "trace"],
    }.items():
        for column in columns:
            # 1e-6 pixel units of height over t^2 / 2
            tolerance = 0 if table == "boundary" else 1e-4 * (15 if column == "trace" else 1)
            np.testing.assert_allclose(
                single.tables[table][column], exact.tables[table][column], rtol=0, atol=tolerance, err_msg=column
            )
    planes = [found.arrays["curvature_sections"] for found in (single, exact)]
    assert all(planes[0][name].dtype == planes[1][name].dtype for name in planes[1])


@pytest.mark.parametrize("settings", [{}, {"methods": ["ad", "fd"]}, {"solver": "lanczos", "num_principal": 2}])
def test_the_share_that_is_done_grows_up_to_all(settings, tiny_dataset):
    shares = []
    context = Context(None, "none", 0, share=shares.append)
    relu = "methods" not in settings
    model = network(activation="relu" if relu else "softplus")
    PROBES["curvature"](context, CurvatureSettings(**(BASE | settings))).measure(model, tiny_dataset, START)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert 0.8 < shares[-1] <= 1


def test_lanczos_and_means_agree_with_the_dense_solver(tiny_dataset):
    dense, lanczos, means = (
        measure(network(), tiny_dataset, families=FAMILIES[:1], num_directions=400, **settings).tables[
            "curvature_summary"
        ]
        for settings in ({"solver": "dense"}, {"solver": "lanczos"}, {"spectra": []})
    )
    for column in ("kmax", "kmin"):
        np.testing.assert_allclose(lanczos[column], dense[column], rtol=1e-8)
    assert means["kmax"].isna().all()
    for estimated in (lanczos, means):
        error = (estimated["mean_kappa"] - dense["mean_kappa"]).abs()
        assert (error <= 4 * estimated["mean_kappa_error"]).all()
    assert [table["solver"].iloc[0] for table in (dense, lanczos, means)] == ["dense", "lanczos", "mean"]


def test_nothing_bends_in_an_affine_classifier_and_that_is_said(tiny_dataset):
    summary = measure(network("linear"), tiny_dataset, spectra=["nearest_refined"]).tables["curvature_summary"]
    assert summary["affine"].all()
    assert (summary["mean_kappa"] == 0).all()
    assert set(summary["method"]) == {"ad"}


def test_a_relu_network_is_measured_at_finite_scale_and_refused_exact_derivatives(tiny_dataset):
    model = network(activation="relu")
    summary = measure(model, tiny_dataset).tables["curvature_summary"]
    assert set(summary["method"]) == {"geometric"}
    assert set(summary["scale"]) == {0.05, 0.1}
    assert set(summary["kinks"]) == {"ReLU"}
    with pytest.raises(UsageError, match="ReLU"):
        measure(model, tiny_dataset, methods=["ad"])


def test_every_method_has_its_scales(tiny_dataset):
    settings = {
        "methods": ["geometric", "softplus_swap", "smoothed", "fd"],
        "betas": [5.0, 30.0],
        "fd_steps": [30.0, 100.0],
    }
    found = measure(network(activation="relu"), tiny_dataset, families=FAMILIES[:1], **settings)
    scales = found.tables["curvature_summary"].groupby("method")["scale"].unique()
    assert {name: len(values) for name, values in scales.items()} == {
        "geometric": 2, "softplus_swap": 2, "smoothed": 1, "fd": 2,
    }  # fmt: skip
    # h = sqrt(d) c / 512
    np.testing.assert_allclose(sorted(scales["fd"]), [120 / 512, 400 / 512])
    spectra = found.arrays["curvature_spectrum"]
    assert spectra["nearest_refined-softplus_swap-5"].shape[1] == 15
    defect = found.tables["curvature_summary"].set_index("method")["sym_defect"]
    assert defect["softplus_swap"].max() < 1e-9


def test_images_without_a_boundary_point_are_rows_without_numbers(tiny_dataset):
    """A ball that no image is in and no ray within reach meets."""
    found = measure(Ball(1e-3), tiny_dataset, families=["nat_segment"])
    assert set(found.tables) == {"boundary"}
    boundary = found.tables["boundary"]
    assert not boundary["success"].any()
    assert (boundary["other"] == -1).all()
    assert boundary[["distance", "gradient_norm", "kappa_min_times_distance"]].isna().all().all()


def test_an_image_on_the_boundary_is_its_own_point(tiny_dataset):
    image = tiny_dataset.test.pixels()[:1].double()
    radius = float((image - 0.5).norm())
    found = measure(Ball(radius), tiny_dataset, num_images=24, families=["nearest_refined"])
    row = found.tables["boundary"].set_index("index").loc[0]
    assert row["success"]
    assert row["stationary"]
    assert row["distance"] == pytest.approx(0, abs=1e-8)


def test_planes_show_the_sphere(tiny_dataset):
    planes = measure(Ball(0.5), tiny_dataset, families=["nearest_refined"]).arrays["curvature_sections"]
    axis = planes["axis"]
    up, right = np.meshgrid(axis, axis, indexing="ij")
    # the centre is R below the point, against the normal
    inside = (up + 0.5) ** 2 + right**2 < 0.5**2
    clear = abs((up + 0.5) ** 2 + right**2 - 0.5**2) > 1e-6
    for name in ("max", "min", "random"):
        for labels in planes[name]:
            assert np.array_equal((labels == 1)[clear], inside[clear])


def test_the_same_points_and_tangents_at_every_moment_and_batch_size(tiny_dataset):
    first = measure(network(), tiny_dataset).tables
    again = measure(network(), tiny_dataset, Moment(9, 3.0), batch_size=7).tables
    for name in ("boundary", "tangent_sides"):
        a, b = (table.drop(columns=["step", "epoch"]).select_dtypes("number") for table in (first[name], again[name]))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
