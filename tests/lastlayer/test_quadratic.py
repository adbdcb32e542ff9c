"""Quadratic programs over the positive orthant against non-negative least squares, and where they have no solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from bdry.lastlayer.quadratic import RIDGE, _Factored, nonnegative_qp


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_it_is_non_negative_least_squares(seed, rows, columns, from_zero):
    draw = np.random.default_rng(seed)
    a, b = draw.standard_normal((rows, columns)), draw.standard_normal(rows) + 1
    expected = nnls(a, b)[0]
    q, c = torch.from_numpy(a.T @ a), torch.from_numpy(a.T @ b)
    found = nonnegative_qp(q, c, torch.zeros_like(c) if from_zero else torch.ones_like(c)).numpy()
    assert found.min() >= 0
    # more columns than rows: the fit is unique, what makes it is not
    assert np.linalg.norm(a @ found - b) == pytest.approx(np.linalg.norm(a @ expected - b), rel=1e-5, abs=1e-5)


def test_variables_that_are_the_same_share_what_one_of_them_would_have():
    a = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    found = nonnegative_qp(a.T @ a, torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(a @ found, torch.ones(2, dtype=torch.float64))


def test_without_a_bound_it_stops_above_the_ceiling():
    # the two samples of one place and two labels: nothing pulls against growing alpha
    q = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    found = nonnegative_qp(q, torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), ceiling=1e6)
    assert float(found.sum()) > 1e6


@pytest.mark.parametrize(("came", "went"), [(0, 0), (4, 0), (0, 4), (2, 3)])
def test_a_factor_serves_for_a_few_changes(came, went):
    draw = torch.Generator().manual_seed(came + 10 * went)
    a = torch.randn(200, 120, generator=draw, dtype=torch.float64)
    q, c = a.T @ a, torch.rand(120, generator=draw, dtype=torch.float64)
    free = torch.arange(120) < 90
    factored = _Factored(q, c, free, RIDGE)
    changed = free.clone()
    changed[90 : 90 + came], changed[10 : 10 + went] = True, False
    found = factored.solution(changed)
    assert not bool(found[~changed].any())
    torch.testing.assert_close(found[changed], torch.linalg.solve(q[changed][:, changed], c[changed]))
    assert factored.solution(~free) is None


def test_a_factor_of_dependent_variables_is_not_used_again():
    q = torch.ones(40, 40, dtype=torch.float64)
    free = torch.arange(40) < 30
    changed = torch.arange(40) < 31
    c = torch.arange(40, dtype=torch.float64)
    assert _Factored(q, c, free, RIDGE).solution(changed) is None
