"""Shared directions where they are known: functions of a few coordinates. (Specification of 1705.09552, 9.4.)"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.stats import binomtest
from torch import nn

from bdry.core.norms import norm as norm_of
from bdry.geometry.boundary.hessian import CentralDifferences
from bdry.geometry.boundary.logit_gap import gap_and_gradient
from bdry.geometry.boundary.points import BoundaryPoints
from bdry.geometry.boundary.smoothness import PiecewiseLinearError
from bdry.geometry.boundary.spectrum import dense_spectrum
from bdry.geometry.subspaces.bases import (
    Reach,
    Subspace,
    leading_perturbations,
    noise_sensitivity,
    noise_subspaces,
    principal_components,
    random_basis,
    reach,
    without,
)
from bdry.geometry.subspaces.shared import (
    energy,
    energy_rows,
    mean_hessian_directions,
    overlap,
    shared_curvature,
    shared_directions,
)
from bdry.models import build_classifier

# torch's own forward-mode differentiation compiles with it when it is first used
SHAPE = (1, 10, 10)
NUM_BENT = 5


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Waves(nn.Module):
    """F = 3 y_5 + sum_(i<5) a_i (1 - cos y_i), y = Q^T (x - 1/2): bent along five coordinates, steep along a sixth."""

    def __init__(self) -> None:
        super().__init__()
        self.q = random_basis(100, 100, draw(7))
        self.a = torch.tensor([1.0, -1.3, 0.8, 1.6, -0.6], dtype=torch.float64)

    def height(self, bent):
        return (self.a * (1 - bent.cos())).sum(1)

    def forward(self, x):
        y = (x.flatten(1) - 0.5) @ self.q
        f = 3 * y[:, NUM_BENT] + self.height(y[:, :NUM_BENT])
        return torch.stack([f, -f], 1) / 2

    def on_boundary(self, bent, seed):
        """Boundary points with these y_0 ... y_4, the coordinates without influence being random."""
        rest = 0.5 * torch.randn(len(bent), 100 - NUM_BENT - 1, generator=draw(seed), dtype=torch.float64)
        y = torch.cat([bent, -self.height(bent)[:, None] / 3, rest], 1)
        return (0.5 + y @ self.q.T).reshape(-1, *SHAPE)

    def stationary(self, n, seed):
        """There grad F is along the sixth coordinate, so that P H P = H, with signs that vary from point to point."""
        return self.on_boundary(math.pi * torch.randint(0, 2, (n, NUM_BENT), generator=draw(seed)).double(), seed)

    def generic(self, n, seed):
        return self.on_boundary(6 * torch.rand(n, NUM_BENT, generator=draw(seed), dtype=torch.float64), seed)


def boundary_points(model: nn.Module, z: torch.Tensor) -> BoundaryPoints:
    """Points known to be on the boundary of classes 0 and 1; rows of nan are images without one."""
    n, success = len(z), z.flatten(1).isfinite().all(1)
    own, other = torch.zeros(n, dtype=torch.int64), torch.where(success, 1, -1)
    _, value, gradient = gap_and_gradient(model, z, own, other.clamp_min(0))
    nothing = torch.zeros(n, dtype=z.dtype)
    return BoundaryPoints(
        "exact", z, z, gradient, own, other, success, value, nothing, nothing, nothing + 1, success, success, own
    )


def shared_of(model: nn.Module, z: torch.Tensor, dim: int, per_image: int):
    own = torch.zeros(len(z), dtype=torch.int64)
    return shared_directions(
        dense_spectrum(model, z, own, 1 - own, num_directions=per_image), dim=dim, per_image=per_image
    )


def largest_angle(basis: torch.Tensor, truth: torch.Tensor) -> float:
    return float(subspace_angles(basis.numpy(), truth.numpy()).max())


def network(width: int, seed: int = 0, activation: str = "softplus") -> nn.Module:
    options = {"widths": [width, 12], "activation": activation}
    model = build_classifier("mlp", (1, 6, 6), 4, mean=[0.5], std=[0.25], seed=seed, options=options)
    return model.double().eval().requires_grad_(False)


def images(n: int, shape=(1, 6, 6), seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *shape, generator=draw(seed), dtype=torch.float64)


def test_bent_coordinates_are_recovered_and_nothing_else_is_curved():
    model = Waves()
    shared = shared_of(model, model.stationary(30, 1), dim=8, per_image=NUM_BENT)
    assert shared.rank == shared.basis.shape[1] == len(shared.singular_values) == NUM_BENT
    assert largest_angle(shared.basis, model.q[:, :NUM_BENT]) < 1e-6
    unseen = boundary_points(model, model.stationary(20, 2))
    rho = shared_curvature(model, unseen, shared.basis, rng=draw())
    assert float(rho.mean(0).min()) > 5
    off = torch.linalg.svd(shared.basis, full_matrices=True).U[:, NUM_BENT:]
    assert float(shared_curvature(model, unseen, off, rng=draw()).max()) < 1e-6


def test_where_the_boundary_is_tilted_the_steep_coordinate_joins_the_bent_ones():
    model = Waves()
    shared = shared_of(model, model.generic(30, 1), dim=8, per_image=NUM_BENT)
    assert shared.rank == shared.basis.shape[1] == NUM_BENT + 1
    assert largest_angle(shared.basis, model.q[:, : NUM_BENT + 1]) < 1e-6
    off = torch.linalg.svd(shared.basis, full_matrices=True).U[:, NUM_BENT + 1 :]
    assert float(shared_curvature(model, boundary_points(model, model.generic(20, 2)), off, rng=draw()).max()) < 1e-6


@pytest.mark.parametrize(("per_image", "dim"), [(6, 6), (10, 10), (20, 50)])
def test_directions_without_curvature_never_enter(per_image, dim):
    """Six directions are curved, whatever is asked for; the mean Hessian has the five of its rank."""
    model = Waves()
    z = model.generic(30, 1)
    shared = shared_of(model, z, dim=dim, per_image=per_image)
    assert shared.basis.shape == (100, NUM_BENT + 1)
    assert shared.contribution.shape == (30, NUM_BENT + 1)
    torch.testing.assert_close(shared.contribution.sum(0), torch.ones(NUM_BENT + 1, dtype=torch.float64))
    assert largest_angle(shared.basis, model.q[:, : NUM_BENT + 1]) < 1e-6
    rho = shared_curvature(model, boundary_points(model, model.generic(20, 2)), shared.basis, rng=draw())
    assert float(rho.mean(0).min()) > 1e-2


@pytest.mark.parametrize("dense", [True, False])
def test_the_mean_hessian_is_that_of_the_points(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr("bdry.geometry.subspaces.shared.DENSE_PIXELS", 0)
    model = Waves()
    z = model.generic(30, 1)
    z[4] = torch.nan
    points = boundary_points(model, z)
    found = mean_hessian_directions(model, points, dim=12)
    # H_F = Q diag(a cos y) Q^T: the mean is known, and so are its eigenvectors, the axes
    y = (z[points.success].flatten(1) - 0.5) @ model.q[:, :NUM_BENT]
    truth = (model.a * y.cos()).mean(0)
    order = truth.abs().argsort(descending=True)
    assert found.num_points == 29
    torch.testing.assert_close(found.eigenvalues, truth[order], rtol=1e-9, atol=0)
    cosines = (found.basis * model.q[:, order]).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(NUM_BENT, dtype=torch.float64), rtol=0, atol=1e-9)
    assert overlap(found.basis, shared_of(model, model.generic(30, 1), dim=6, per_image=6).basis) == pytest.approx(1)


def test_the_mean_hessian_of_nothing_and_of_an_affine_network_is_empty():
    model = Waves()
    nowhere = boundary_points(model, torch.full((2, *SHAPE), torch.nan, dtype=torch.float64))
    found = mean_hessian_directions(model, nowhere, dim=3)
    assert (found.basis.shape, found.num_points) == ((100, 0), 0)
    linear = build_classifier("linear", (1, 6, 6), 3, mean=[0.5], std=[0.25], seed=0).double().requires_grad_(False)
    assert mean_hessian_directions(linear, boundary_points(linear, images(3)), dim=3).basis.shape == (36, 0)
    relu = network(48, activation="relu")
    with pytest.raises(PiecewiseLinearError, match="ReLU"):
        mean_hessian_directions(relu, boundary_points(relu, images(3)), dim=3)


def test_overlap_of_subspaces():
    axes = torch.eye(10, dtype=torch.float64)
    assert overlap(axes[:, :2], axes[:, :5]) == 1
    assert overlap(axes[:, :4], axes[:, 2:6]) == 0.5
    assert math.isnan(overlap(axes[:, :0], axes))


def test_rho_is_the_ratio_to_the_mean_over_the_sphere():
    # H = diag(2, 0, ..., 0) in d dimensions: u H u = 2, and E v H v = 2 / d
    class Valley(nn.Module):
        def forward(self, x):
            flat = x.flatten(1)
            f = flat[:, 1] + flat[:, 0].square()
            return torch.stack([f, -f], 1) / 2

    points = boundary_points(Valley(), torch.zeros(3, 1, 5, 5, dtype=torch.float64))
    axes = torch.eye(25, dtype=torch.float64)[:, [0, 2]]
    rho = shared_curvature(Valley(), points, axes, rng=draw(), directions=4000)
    torch.testing.assert_close(rho[:, 0], torch.full((3,), 25.0, dtype=torch.float64), rtol=0.1, atol=0)
    assert bool((rho[:, 1] == 0).all())
    finite = shared_curvature(Valley(), points, axes, rng=draw(), directions=4000, hessian=CentralDifferences(0.5))
    torch.testing.assert_close(finite, rho, rtol=1e-9, atol=1e-9)


def test_noise_changes_labels_in_the_shared_subspace_only():
    model = Waves()
    shared = shared_of(model, model.stationary(30, 1), dim=NUM_BENT, per_image=NUM_BENT)
    steep = model.q[:, NUM_BENT : NUM_BENT + 1]
    x = model.generic(200, 3) + 0.1 * steep.reshape(1, *SHAPE)
    rows = noise_sensitivity(
        model,
        x,
        model(x).argmax(1),
        {"shared": Subspace(shared.basis), "off": Subspace(torch.cat([shared.basis, steep], 1), complement=True)},
        rel_norms=[0.02, 0.2, 0.5],
        rng=draw(),
    )
    changed = {(row.subspace, row.rel_norm): row.label_change_rate for row in rows}
    assert changed["shared", 0.5] > 0.3
    assert [changed["off", norm] for norm in (0.02, 0.2, 0.5)] == [0, 0, 0]
    assert all(row.accuracy == pytest.approx(1 - row.label_change_rate) for row in rows)


def test_contributions_images_and_points_without_a_boundary():
    model = Waves()
    z = model.stationary(6, 1)
    z[2] = torch.nan
    shared = shared_of(model, z, dim=NUM_BENT, per_image=NUM_BENT)
    torch.testing.assert_close(shared.contribution.sum(0), torch.ones(NUM_BENT, dtype=torch.float64))
    assert bool((shared.contribution[2] == 0).all())
    assert shared.images().shape == (NUM_BENT, *SHAPE)
    assert torch.equal(shared.images()[3].flatten(), shared.basis[:, 3])
    rho = shared_curvature(model, boundary_points(model, z), shared.basis, rng=draw())
    assert rho.isfinite().all(1).tolist() == [True, True, False, True, True, True]


def test_too_few_images_are_refused():
    model = Waves()
    spectrum_of = model.stationary(3, 1)
    with pytest.raises(ValueError, match="dim=20: 3 boundary points of 5 directions in 100 pixels span 15"):
        shared_of(model, spectrum_of, dim=20, per_image=5)
    with pytest.raises(ValueError, match="dim=20: 10 images of 36 pixels span 10"):
        principal_components(images(10), 20)
    with pytest.raises(ValueError, match="dim=40: images have 36 pixels"):
        random_basis(36, 40, draw())


def test_networks_without_curvature():
    relu, x = network(48, activation="relu"), images(3)
    with pytest.raises(ValueError, match="ReLU"):
        shared_curvature(relu, boundary_points(relu, x), random_basis(36, 2, draw()), rng=draw())
    linear = build_classifier("linear", (1, 6, 6), 3, mean=[0.5], std=[0.25], seed=0).double().requires_grad_(False)
    rho = shared_curvature(linear, boundary_points(linear, x), random_basis(36, 2, draw()), rng=draw())
    assert bool(rho.isnan().all())
    with pytest.raises(ValueError, match="every curvature of an affine network"):
        shared_of(linear, x, dim=2, per_image=2)


def test_energy_of_known_perturbations():
    axes = torch.eye(36, dtype=torch.float64)
    r = torch.zeros(4, 1, 6, 6, dtype=torch.float64)
    r.flatten(1)[0, 0], r.flatten(1)[1, :2], r.flatten(1)[2, 35] = 2.0, 3.0, 1.0
    shares = energy(r, axes[:, :3])
    torch.testing.assert_close(shares[:3], torch.tensor([[1, 1, 1], [0.5, 1, 1], [0, 0, 0]], dtype=torch.float64))
    assert bool(shares[3].isnan().all())
    rows = energy_rows(r, {"axes": axes[:, :3]}, [1, 2, 5])
    assert [(row.k, row.mean_energy, row.num_images) for row in rows] == [
        (1, pytest.approx(0.5), 3),
        (2, pytest.approx(2 / 3), 3),
    ]
    assert rows[0].chance == 1 / 36
    anywhere = torch.randn(4000, 1, 6, 6, generator=draw(), dtype=torch.float64)
    row = energy_rows(anywhere, {"random": random_basis(36, 9, draw(1))}, [9])[0]
    assert row.mean_energy == pytest.approx(row.chance, rel=0.03)


def test_reference_subspaces_of_known_spread():
    scale = torch.ones(36, dtype=torch.float64)
    scale[:3] = torch.tensor([30.0, 20.0, 10.0])
    spread = 5 + torch.randn(3000, 36, generator=draw(), dtype=torch.float64) * scale
    axes = torch.eye(36, dtype=torch.float64)
    assert largest_angle(principal_components(spread.reshape(-1, 1, 6, 6), 3), axes[:, :3]) < 0.1
    # lengths do not count, and images without a perturbation are left out
    r = torch.zeros(5, 36, dtype=torch.float64)
    r[0, 4], r[1, 4], r[2, 9], r[3] = 1e-3, 1.0, 50.0, torch.nan
    assert largest_angle(leading_perturbations(r, 1), axes[:, 4:5]) < 1e-12
    assert largest_angle(leading_perturbations(r, 2), axes[:, [4, 9]]) < 1e-12


def test_without_takes_a_subspace_out():
    basis = random_basis(36, 6, draw())
    removed = torch.linalg.qr(torch.cat([basis[:, :2], random_basis(36, 3, draw(1))], 1)).Q
    left = without(basis, removed)
    assert left.shape == (36, 4)
    torch.testing.assert_close(left.T @ left, torch.eye(4, dtype=torch.float64))
    assert float((removed.T @ left).abs().max()) < 1e-12
    assert without(basis[:, :2], removed).shape == (36, 0)


def test_a_narrow_first_layer_confounds_and_a_wide_one_does_not():
    narrow, x = network(8), images(40)
    bound = reach(narrow, x)
    assert (bound.rank, bound.num_gradients, bound.is_confounded) == (8, 120, True)
    weight = next(layer for layer in narrow.modules() if isinstance(layer, nn.Linear)).weight
    assert largest_angle(bound.basis, weight.T) < 1e-6
    wide = reach(network(64), x)
    assert (wide.rank, wide.is_confounded) == (36, False)
    # twelve gradients fill twelve dimensions: nothing is known about the others
    assert not reach(network(64), x[:4]).is_confounded


def test_the_control_keeps_noise_within_reach():
    model, x = network(8), images(300, seed=1)
    bound = reach(model, x[:40])
    shared = bound.basis[:, :3]
    subspaces = noise_subspaces(shared, random_basis(36, 3, draw(1)), bound.basis[:, 2:5], draw(2), bound)
    assert {name: subspace.dim for name, subspace in subspaces.items()} == {
        "shared": 3,
        "shared_complement": 33,
        "random": 3,
        "pca": 3,
        "gradient": 3,
        "shared_minus_gradient": 2,
        "reachable_complement": 5,
    }
    subspaces["out_of_reach"] = Subspace(bound.basis, complement=True)
    rows = noise_sensitivity(model, x, model(x).argmax(1), subspaces, rel_norms=[3.0], rng=draw())
    changed = {row.subspace: row.label_change_rate for row in rows}
    assert changed["out_of_reach"] == 0
    assert changed["reachable_complement"] > changed["shared_complement"]
    ends = binomtest(round(300 * changed["shared"]), 300).proportion_ci(method="wilson")
    assert (rows[0].low, rows[0].high) == (ends.low, ends.high)


class Recording(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return x.flatten(1)[:, :2]


def test_noise_has_its_length_lies_in_its_subspace_and_follows_the_generator():
    x, basis = images(20), random_basis(36, 4, draw(5))
    for subspace in (Subspace(basis), Subspace(basis, complement=True)):
        seen = []
        for batch_size in (1000, 7):
            model = Recording()
            noise_sensitivity(
                model, x, torch.zeros(20), {"it": subspace}, rel_norms=[0.3], rng=draw(), batch_size=batch_size
            )
            seen.append(torch.cat(model.seen)[20:])
        assert torch.equal(*seen)
        noise = seen[0] - x
        torch.testing.assert_close(norm_of(noise, "l2"), (0.3 * norm_of(x, "l2").mean()).expand(20))
        torch.testing.assert_close(subspace.project(noise.flatten(1)), noise.flatten(1))


def test_a_subspace_of_nothing_and_no_image_have_rows_of_nan():
    empty = Subspace(torch.zeros(36, 0, dtype=torch.float64))
    row = noise_sensitivity(network(8), images(5), torch.zeros(5), {"none": empty}, rel_norms=[0.1], rng=draw())[0]
    assert row.dim == 0
    assert math.isnan(row.label_change_rate) and math.isnan(row.accuracy)
    whole = {"all": Subspace(torch.eye(36, dtype=torch.float64))}
    row = noise_sensitivity(network(8), images(0), torch.zeros(0), whole, rel_norms=[0.1], rng=draw())[0]
    assert (row.dim, row.num_images) == (36, 0)
    assert math.isnan(row.label_change_rate) and math.isnan(row.accuracy)


def test_reach_is_confounded_only_where_it_stopped_growing():
    basis = torch.zeros(10, 4)
    assert Reach(basis, 4, 9, 10).is_confounded
    assert not Reach(basis, 4, 4, 10).is_confounded
