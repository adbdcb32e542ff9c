"""The bracketing search along segments, against crossings that are known."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bdry.core.segments import first_crossing, gap


def cubic(root: float, steepness: float):
    """One-dimensional two-class model whose gap is steepness * ((root - x) + (root - x)^3)."""

    def model(x):
        d = root - x.flatten(1)[:, 0]
        value = steepness * (d + 50 * d**3)
        return torch.stack([value, torch.zeros_like(value)], 1)

    return model


@settings(max_examples=60, deadline=None)
@given(root=st.floats(1e-3, 0.99), steepness=st.floats(1e-3, 1e3))
def test_finds_the_crossing_from_beyond_in_few_passes(root, steepness):
    model = cubic(root, steepness)
    x, delta = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    start = torch.zeros(1, dtype=torch.int64)
    gaps = {"gap_at_x": gap(model(x), start), "gap_at_end": gap(model(x + delta), start)}
    t, label, forwards = first_crossing(model, x, delta, start, **gaps)
    assert root < float(t) <= root * (1 + 2e-5)
    assert float(gap(model(t[:, None]), start)) < 0
    assert label.item() == 1
    assert int(forwards) <= 60


def test_gap_is_negative_only_where_another_class_is_ahead():
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    assert gap(logits, torch.tensor([0, 0, 0])).tolist() == [1.0, 0.0, -3.0]
