"""Which networks have curvature: linear ones none, piecewise linear ones none that derivatives see."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bdry.core.seeds import generator
from bdry.geometry.boundary.curvature import mean_curvature, tangent_forms
from bdry.geometry.boundary.hessian import CentralDifferences, Smoothed
from bdry.geometry.boundary.smoothness import SmoothMaxPool2d, in_double, kinks, with_softplus
from bdry.geometry.boundary.spectrum import dense_spectrum, extreme_spectrum
from bdry.models import build_classifier

OWN, OTHER = torch.tensor([0, 1]), torch.tensor([1, 2])


def network(name, num_classes=3, **options):
    options = options | ({"widths": [24, 12]} if name == "mlp" else {})
    shape = (1, 12, 12)
    model = build_classifier(name, shape, num_classes, mean=[0.5], std=[0.1], seed=0, options=options)
    return in_double(model)


def images(n=2):
    return torch.rand(n, 1, 12, 12, generator=generator(3, "test"), dtype=torch.float64)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
@pytest.mark.parametrize("solve", [dense_spectrum, extreme_spectrum])
def test_relu_networks_are_refused_by_name_a11(name, solve):
    with pytest.raises(ValueError, match="activation is ReLU; its second derivatives are 0"):
        solve(network(name, activation="relu"), images(), OWN, OTHER)


def test_automatic_second_derivatives_of_relu_are_zero_a11():
    model = network("mlp", activation="relu")
    hessian = torch.func.hessian(lambda x: model(x[None])[0, 0] - model(x[None])[0, 1])(images()[0])
    assert not bool(hessian.any())


@pytest.mark.parametrize("solve", [dense_spectrum, extreme_spectrum])
def test_piecewise_linear_functions_are_found_out(solve):
    model = network("mlp", activation="relu")

    def plain_function(x):
        return model(x)

    with pytest.raises(ValueError, match="activation is piecewise linear"):
        solve(plain_function, images(), OWN, OTHER)
    with pytest.raises(ValueError, match="activation is piecewise linear"):
        mean_curvature(plain_function, images(), OWN, OTHER, num_probes=4, rng=generator(0, "probes"))


def test_max_pooling_alone_is_piecewise_linear():
    model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3, device="meta").to_empty(device="cpu"))
    model[2].weight.data = torch.randn(3, 36, generator=generator(0, "weights"))
    model[2].bias.data.zero_()
    with pytest.raises(ValueError, match="activation is MaxPool2d"):
        dense_spectrum(in_double(model), images(), OWN, OTHER)


@pytest.mark.parametrize("solve", [dense_spectrum, extreme_spectrum])
def test_a_linear_network_is_flat_and_says_so(solve):
    found = solve(network("linear"), images(), OWN, OTHER, num_directions=3)
    assert found.affine
    assert float(found.curvatures.abs().max()) == 0
    assert bool(found.directions.isfinite().all())


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
@pytest.mark.parametrize("activation", ["softplus", "silu", "gelu"])
def test_smooth_networks_are_taken(name, activation):
    model = network(name, activation=activation)
    directions = images(5)[None]
    forms = tangent_forms(model, images(1), OWN[:1], OTHER[:1], directions)
    assert bool((forms.isfinite() & (forms != 0)).all())
    assert kinks(model) == (("MaxPool2d",) if name == "cnn" else ())


def test_two_classes():
    model = network("mlp", num_classes=2, activation="softplus")
    found = dense_spectrum(model, images(1), torch.tensor([1]), torch.tensor([0]))
    assert bool(found.curvatures.any())


def test_softplus_swap_tends_to_the_network_and_is_smooth():
    model, x = network("cnn", activation="relu"), images(8)
    errors = [float((with_softplus(model, beta)(x) - model(x)).abs().max()) for beta in (5, 30, 100, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-2
    assert kinks(with_softplus(model, 10)) == ()
    assert kinks(model) == ("MaxPool2d", "ReLU")
    found = dense_spectrum(with_softplus(model, 10), x[:1], OWN[:1], OTHER[:1])
    assert bool(found.curvatures.any())


@pytest.mark.parametrize("padding", [0, 1])
def test_smooth_pooling_tends_to_max_pooling(padding):
    pool, x = nn.MaxPool2d(3, stride=2, padding=padding), torch.randn(2, 3, 9, 9, generator=generator(0, "x"))
    torch.testing.assert_close(SmoothMaxPool2d(pool, 1000.0)(x), pool(x), rtol=0, atol=5e-3)
    # its definition, by one window
    window = x[0, 0, 1:4, 1:4] if padding else x[0, 0, 2:5, 2:5]
    found = SmoothMaxPool2d(pool, 2.0)(x)[0, 0, 1, 1]
    torch.testing.assert_close(found, (2 * window).exp().sum().log() / 2)


def test_what_cannot_be_swapped_is_said():
    with pytest.raises(ValueError, match="cannot smooth LeakyReLU"):
        with_softplus(nn.Sequential(nn.LeakyReLU()), 10)
    with pytest.raises(ValueError, match="beta=0"):
        with_softplus(nn.ReLU(), 0)


def test_a_lone_activation_is_swapped():
    x = torch.linspace(-1, 1, 5)
    torch.testing.assert_close(with_softplus(nn.ReLU(), 3.0)(x), F.softplus(x, 3.0))


def test_differences_of_relu_networks_are_not_symmetric():
    model = network("mlp", activation="relu")
    found = dense_spectrum(model, images(), OWN, OTHER, hessian=CentralDifferences(0.2))
    assert bool((found.symmetry_defect > 0.1).all())
    smooth = dense_spectrum(network("mlp", activation="silu"), images(), OWN, OTHER, hessian=CentralDifferences(1e-3))
    assert bool((smooth.symmetry_defect < 1e-2).all())


def test_smoothing_a_quadratic_changes_nothing():
    form = torch.diag(torch.tensor([2.0, 1.0, -1.0, 0.5]).double())

    def model(x):
        flat = x.flatten(1)
        return torch.stack([(flat @ form * flat).sum(1) + flat[:, 3], torch.zeros(len(flat)).double()], 1)

    z = torch.zeros(1, 1, 1, 4).double()
    exact = dense_spectrum(model, z, torch.tensor([0]), torch.tensor([1])).curvatures
    found = dense_spectrum(model, z, torch.tensor([0]), torch.tensor([1]), hessian=Smoothed(0.3, draws=20_000))
    torch.testing.assert_close(found.curvatures, exact, rtol=0, atol=0.1)
    assert float(found.symmetry_defect) > 0


def test_smoothing_relu_gives_the_curvature_of_the_blurred_function():
    # F = x_1 + relu(x_0): blurred by sigma its second derivative at 0 is the Gaussian density, 1 / (sigma sqrt(2 pi))
    def model(x):
        flat = x.flatten(1)
        return torch.stack([flat[:, 1] + flat[:, 0].relu(), torch.zeros(len(flat)).double()], 1)

    z, sigma = torch.zeros(1, 1, 1, 2).double(), 0.5
    found = dense_spectrum(model, z, torch.tensor([0]), torch.tensor([1]), hessian=Smoothed(sigma, draws=40_000))
    slope = torch.tensor([0.5, 1.0]).double()
    tangent = torch.tensor([1.0, -0.5]).double() / slope.norm()
    exact = float(tangent[0] ** 2 / (sigma * (2 * torch.pi) ** 0.5) / slope.norm())
    assert float(found.curvatures) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("method", [CentralDifferences(0.0), Smoothed(-1.0, draws=2)])
def test_scales_have_to_be_positive(method):
    with pytest.raises(ValueError, match="must be above 0"):
        dense_spectrum(network("mlp", activation="silu"), images(), OWN, OTHER, hessian=method)


def test_lanczos_needs_room():
    with pytest.raises(ValueError, match="num_directions=72: Lanczos takes 1 to 71"):
        extreme_spectrum(network("mlp", activation="silu"), images(), OWN, OTHER, num_directions=72)
