"""Principal curvatures where they are known in closed form: specification of arXiv 1705.09552, §3.2 and §9.1."""

from __future__ import annotations

import pytest
import torch
from torch.func import hessian as dense_hessian

from bdry.core.seeds import generator
from bdry.geometry.boundary import spectrum
from bdry.geometry.boundary.curvature import mean_curvature, tangent_forms
from bdry.geometry.boundary.hessian import CentralDifferences, port_step
from bdry.geometry.boundary.spectrum import dense_spectrum, extreme_spectrum, flat_share, profile, summarise
from bdry.models import build_classifier

FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


def two_class(f):
    """A classifier whose gap f_0 - f_1 is `f`, a function of flat points (N, d) -> (N,)."""

    def model(x):
        value = f(x.flatten(1))
        return torch.stack([value, torch.zeros_like(value)], 1)

    return model


def point(*values):
    return torch.tensor(values, dtype=torch.float64)[None, None, None]


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def rotation(d, seed=0):
    return torch.linalg.qr(gaussian(d, d, seed=seed))[0]


def spectrum_of(f, z, **options):
    return dense_spectrum(two_class(f), z, FIRST, SECOND, **options)


def ellipsoid(d=12):
    axes = torch.linspace(1.0, 3.0, d, dtype=torch.float64)
    return (
        lambda x: (x / axes).square().sum(1) - 1,
        point(1.0, *[0.0] * (d - 1)),
        (1 / axes[1:].square()).sort(descending=True).values,
    )


FORM, PLANE = gaussian(15, 15, seed=1), gaussian(20)
GRAPH = torch.linspace(-3.0, 2.0, 11, dtype=torch.float64)


def saddle_graph(x):
    return 0.5 * (GRAPH * x[:, :-1].square()).sum(1) - x[:, -1]


def curved(x):
    """Something with no symmetry: a quadric, a cubic and a sine, of any dimension."""
    d = x.shape[1]
    return (x @ FORM[:d, :d] * x).sum(1) / d + x[:, 0] ** 3 + (x @ FORM[0, :d]).sin() + x.sum(1)


@pytest.mark.parametrize("radius", [0.5, 2.0, 10.0])
def test_a_sphere_is_curved_by_its_inverse_radius_a1(radius):
    unit = gaussian(50)
    z = (radius * unit / unit.norm())[None, None, None]
    found = spectrum_of(lambda x: x.square().sum(1) - radius**2, z, num_directions=49)
    torch.testing.assert_close(
        found.curvatures, torch.full((1, 49), 1 / radius, dtype=torch.float64), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(found.gradient_norm, torch.tensor([2 * radius]).double())
    # the directions are a basis of the tangent space: what is left of the identity is the normal
    tangents = found.directions[0, :49].flatten(1)
    left = torch.eye(50).double() - tangents.T @ tangents
    value, vector = torch.linalg.eigh(left)
    assert float(value[-1]) == pytest.approx(1, abs=1e-10)
    assert float((vector[:, -1] @ unit / unit.norm()).abs()) > 1 - 1e-10


def test_an_ellipsoid_at_its_vertex_a2():
    f, z, exact = ellipsoid()
    torch.testing.assert_close(spectrum_of(f, z).curvatures[0], exact, rtol=0, atol=1e-12)


def test_a_graph_with_both_signs_a3():
    found = spectrum_of(saddle_graph, point(*[0.0] * 12), num_directions=2)
    torch.testing.assert_close(found.curvatures[0], GRAPH.flip(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.directed[0], torch.tensor([2.0, 1.5, -3.0, -2.5]).double())
    along = found.directions[0].flatten(1).abs().argmax(1)
    assert along.tolist() == [10, 9, 0, 1]


def test_planes_and_cylinders_a4():
    plane = spectrum_of(lambda x: x @ PLANE - 0.3, gaussian(1, 1, 1, 20, seed=5), num_directions=3)
    assert plane.affine
    assert float(plane.curvatures.abs().max()) <= 1e-12
    assert float(plane.symmetry_defect) == 0
    z = gaussian(1, 1, 1, 20)
    z[..., :7] *= 2 / z[..., :7].norm()
    tube = spectrum_of(lambda x: x[:, :7].square().sum(1) - 4, z)
    expected = torch.tensor([0.5] * 6 + [0.0] * 13, dtype=torch.float64)
    torch.testing.assert_close(tube.curvatures[0], expected, rtol=0, atol=1e-12)
    assert not tube.affine


@pytest.mark.parametrize("change", [lambda f: 5 * torch.tanh(3 * f), lambda f: 10 * f])
def test_the_scale_of_the_logits_does_not_matter_a5(change):
    # small enough a gap for tanh not to saturate; off the boundary on purpose: level sets are the same
    z = 0.1 * gaussian(1, 1, 1, 15)
    plain = spectrum_of(curved, z)
    changed = spectrum_of(lambda x: change(curved(x)), z)
    torch.testing.assert_close(plain.curvatures, changed.curvatures, rtol=1e-10, atol=1e-10)


def test_the_spectrum_turns_with_the_input_a5():
    turn, z = rotation(15), gaussian(1, 1, 1, 15)
    plain = spectrum_of(curved, z, num_directions=2)
    turned = spectrum_of(lambda x: curved(x @ turn), z @ turn.T, num_directions=2)
    torch.testing.assert_close(plain.curvatures, turned.curvatures, rtol=1e-10, atol=1e-10)
    cosine = ((plain.directions @ turn.T) * turned.directions).flatten(2).sum(2).abs()
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-10)


def test_logits_and_probabilities_agree_on_the_boundary_only_a6():
    def logits(x):
        return torch.stack([curved(x.flatten(1)), torch.zeros(len(x)).double(), x.flatten(1)[:, 1].square()], 1)

    def both(z):
        return [dense_spectrum(m, z, FIRST, SECOND).curvatures for m in (logits, lambda x: logits(x).softmax(1))]

    off = 0.3 * gaussian(1, 1, 1, 10)
    on = off.clone()
    for _ in range(20):
        leaf = on.clone().requires_grad_(True)
        value = curved(leaf.flatten(1)).sum()
        slope = torch.autograd.grad(value, leaf)[0]
        on = on - value.detach() * slope / slope.square().sum()
    from_logits, from_probabilities = both(on)
    torch.testing.assert_close(from_logits, from_probabilities, rtol=1e-8, atol=1e-8)
    from_logits, from_probabilities = both(off)
    assert float((from_logits - from_probabilities).abs().max()) > 1e-3


def test_swapping_the_classes_negates_the_spectrum_a7():
    model, z = two_class(curved), gaussian(1, 1, 1, 15)
    one, two = dense_spectrum(model, z, FIRST, SECOND), dense_spectrum(model, z, SECOND, FIRST)
    torch.testing.assert_close(one.curvatures, -two.curvatures.flip(1), rtol=0, atol=1e-12)


def cube_of_norm(x):
    return x.square().sum(1) ** 1.5 - 8


@pytest.mark.parametrize(
    ("dtype", "step", "error"),
    [(torch.float64, 0.1, 1.25e-3), (torch.float64, 0.01, 1.25e-5), (torch.float32, 5e-3, 5e-5)],
)
def test_central_differences_err_by_the_square_of_their_step_a8(dtype, step, error):
    unit = gaussian(20)
    z = (2 * unit / unit.norm())[None, None, None].to(dtype)
    found = spectrum_of(cube_of_norm, z, hessian=CentralDifferences(step))
    relative = float((found.curvatures.double() / 0.5 - 1).abs().mean())
    if dtype == torch.float64:
        assert relative == pytest.approx(error, rel=0.2)
        assert float(found.symmetry_defect) < error
    else:
        assert relative < error
    assert (found.method, found.scale) == ("fd", step)


def network(name="mlp", activation="softplus", shape=(1, 6, 6), num_classes=4, seed=0):
    options = {"activation": activation} | ({"widths": [32, 16]} if name == "mlp" else {})
    if name == "linear":
        options = {}
    model = build_classifier(name, shape, num_classes, mean=[0.5], std=[0.1], seed=seed, options=options)
    return model.double().eval().requires_grad_(False)


def images(n, shape=(1, 6, 6)):
    return torch.rand(n, *shape, generator=generator(3, "test"), dtype=torch.float64)


def pairs(n, num_classes=4):
    own = torch.arange(n) % num_classes
    return own, (own + 1) % num_classes


def test_lanczos_agrees_with_dense_a9():
    model, z = network(), images(3)
    dense = dense_spectrum(model, z, *pairs(3), num_directions=4)
    ends = extreme_spectrum(model, z, *pairs(3), num_directions=4)
    torch.testing.assert_close(ends.directed, dense.directed, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ends.curvatures[:, :4], dense.curvatures[:, :4], rtol=1e-8, atol=1e-8)
    cosine = (ends.directions * dense.directions).flatten(2).sum(2).abs()
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-6)
    assert bool(ends.trace.isnan().all())


def test_lanczos_ends_where_it_does_not_converge(monkeypatch):
    told, (f, z, exact) = [], ellipsoid(400)
    found = extreme_spectrum(two_class(f), z, FIRST, SECOND, num_directions=1, say=told.append)
    torch.testing.assert_close(found.curvatures[0], exact[[0, -1]], rtol=1e-8, atol=1e-8)
    assert told == [0]
    monkeypatch.setattr(spectrum, "MOST_PRODUCTS", 1)
    found = extreme_spectrum(two_class(f), z, FIRST, SECOND, num_directions=1)
    assert bool(found.curvatures.isnan().all())
    assert bool(found.directions.isnan().all())


def test_lanczos_does_not_take_the_normal_for_a_direction():
    # all curvatures are positive: the smallest is not the 0 of the normal
    f, z, exact = ellipsoid()
    found = extreme_spectrum(two_class(f), z, FIRST, SECOND, num_directions=2)
    torch.testing.assert_close(found.curvatures[0], torch.cat([exact[:2], exact[-2:]]), rtol=1e-8, atol=1e-8)


def test_hutchinson_is_within_its_error_a10():
    model, z = network(), images(4)
    exact = dense_spectrum(model, z, *pairs(4))
    found = mean_curvature(model, z, *pairs(4), num_probes=1000, rng=generator(0, "probes"))
    assert bool(((found.mean - exact.mean).abs() <= 3 * found.standard_error).all())
    theory = 2**0.5 * exact.curvatures.norm(dim=1) / 35 / 1000**0.5
    torch.testing.assert_close(found.standard_error, theory, rtol=0.2, atol=0)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_autograd_agrees_with_differences_and_with_a_dense_hessian(name):
    shape = (1, 6, 6) if name == "mlp" else (1, 12, 12)
    model, z = network(name, shape=shape), images(1, shape)
    found = dense_spectrum(model, z, FIRST, SECOND)
    differences = dense_spectrum(model, z, FIRST, SECOND, hessian=CentralDifferences(1e-5))
    top = float(found.curvatures.abs().max())
    torch.testing.assert_close(found.curvatures, differences.curvatures, rtol=0, atol=1e-5 * top)
    # independent: torch's own Hessian, P by its formula, and the eigenvector nearest to the normal dropped
    flat = z.flatten()

    def gap(x):
        logits = model(x.reshape(1, *shape))[0]
        return logits[0] - logits[1]

    gradient, hessian = torch.func.grad(gap)(flat), dense_hessian(gap)(flat)
    normal = gradient / gradient.norm()
    tangential = torch.eye(len(flat)).double() - normal[:, None] * normal
    values, vectors = torch.linalg.eigh(tangential @ hessian @ tangential / gradient.norm())
    kept = torch.arange(len(flat)) != (vectors.T @ normal).abs().argmax()
    torch.testing.assert_close(found.curvatures[0], values[kept].flip(0), rtol=1e-10, atol=1e-12)
    assert float(found.symmetry_defect) < 1e-12


def test_directions_have_their_curvatures():
    model, z = network(), images(2)
    found = dense_spectrum(model, z, *pairs(2), num_directions=3)
    forms = tangent_forms(model, z, *pairs(2), found.directions)
    torch.testing.assert_close(forms, found.directed, rtol=1e-10, atol=1e-12)


def test_batched_equals_one_by_one():
    model, z = network(), images(5)
    own, other = pairs(5)
    alone = [slice(i, i + 1) for i in range(5)]
    for solve in (dense_spectrum, extreme_spectrum):
        together = solve(model, z, own, other, num_directions=2)
        single = torch.cat([solve(model, z[i], own[i], other[i], num_directions=2).curvatures for i in alone])
        torch.testing.assert_close(together.curvatures, single, rtol=1e-10, atol=1e-12)
    draws = [generator(0, "probes") for _ in range(2)]
    together = mean_curvature(model, z, own, other, num_probes=8, rng=draws[0]).mean
    single = [mean_curvature(model, z[i], own[i], other[i], num_probes=8, rng=draws[1]).mean for i in alone]
    torch.testing.assert_close(together, torch.cat(single), rtol=1e-10, atol=1e-12)


def test_points_that_are_missing_are_rows_of_nan():
    model, z = network(), images(3)
    z[1] = torch.nan
    own, other = pairs(3)
    other[1] = -1
    for solve in (dense_spectrum, extreme_spectrum):
        found = solve(model, z, own, other, num_directions=2)
        assert found.curvatures.isfinite().all(1).tolist() == [True, False, True]
    assert summarise(dense_spectrum(model, z, own, other)).frac_abs_lt_5pct.isfinite().tolist() == [True, False, True]
    none = dense_spectrum(model, z[:0], own[:0], other[:0])
    assert none.curvatures.shape == (0, 35)


@pytest.mark.parametrize("solve", [dense_spectrum, extreme_spectrum])
def test_a_hessian_that_is_not_finite_is_a_row_of_nan(solve):
    # the third power of the norm's root has slope and bend, but at 0 only the slope is a number
    model = two_class(lambda x: x.sum(1) + x[:, 0].abs().pow(1.5))
    z = torch.zeros(2, 1, 1, 8).double()
    z[1] = 0.3
    found = solve(model, z, torch.tensor([0, 0]), torch.tensor([1, 1]), num_directions=2)
    assert found.gradient_norm.isfinite().tolist() == [True, True]
    assert found.curvatures.isfinite().all(1).tolist() == [False, True]


def test_summary_and_profile_of_a_known_spectrum():
    z = torch.cat([point(*[0.0] * 12)] * 2)
    found = dense_spectrum(two_class(saddle_graph), z, torch.tensor([0, 1]), torch.tensor([1, 0]))
    rows = summarise(found)
    assert rows.kmax.tolist() == pytest.approx([2.0, 3.0])
    assert rows.kmin.tolist() == pytest.approx([-3.0, -2.0])
    assert rows.sum_pos.tolist() == pytest.approx([5.0, 10.5])
    assert rows.sum_neg.tolist() == pytest.approx([-10.5, -5.0])
    assert rows.trace.tolist() == pytest.approx([-5.5, 5.5])
    assert rows.mean_kappa.tolist() == pytest.approx([-0.5, 0.5])
    # one of the eleven is 0
    assert rows.frac_abs_lt_5pct.tolist() == pytest.approx([1 / 11] * 2)
    over_points = profile(found.curvatures)
    assert over_points.rank.tolist() == list(range(1, 12))
    assert over_points.mean.tolist() == pytest.approx(((GRAPH.flip(0) - GRAPH) / 2).tolist())
    assert over_points.num_points == 2
    assert bool((over_points.q10 <= over_points.q90).all())
    assert flat_share(torch.zeros(1, 4), 0.01).tolist() == [1.0]


def test_the_ports_step():
    assert port_step(784) == pytest.approx(0.547, abs=1e-3)
    assert port_step(3072) == pytest.approx(1.08, abs=5e-3)
