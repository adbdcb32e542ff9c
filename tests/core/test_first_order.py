"""The margin to first order: exact on affine classifiers, and its parts on a bent one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.core.first_order import first_order_margins
from bdry.core.measuring import measuring
from bdry.core.seeds import seeded_globally


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_on_an_affine_classifier_it_is_the_margin(norm):
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(4, 6, generator=draw), torch.randn(4, generator=draw)
    x = torch.rand(30, 1, 2, 3, generator=draw)
    found = first_order_margins(lambda z: z.flatten(1) @ weight.T + bias, x, ["l2", "linf"])[norm]
    logits = x.flatten(1) @ weight.T + bias
    own = logits.argmax(1)
    order = 2 if norm == "l2" else 1
    for i in range(30):
        others = [k for k in range(4) if k != own[i]]
        exact = {
            k: float((logits[i, own[i]] - logits[i, k]) / (weight[own[i]] - weight[k]).norm(order)) for k in others
        }
        nearest = min(exact, key=exact.get)
        assert float(found.margin[i]) == pytest.approx(exact[nearest], rel=1e-4)
        assert int(found.boundary_class[i]) == nearest
        assert float(found.logit_gap[i]) == pytest.approx(float(logits[i, own[i]] - logits[i, nearest]), rel=1e-4)
    torch.testing.assert_close(found.margin, found.logit_gap / found.gradient_norm)


def test_scaled_logits_move_both_parts_and_leave_their_ratio():
    draw = torch.Generator().manual_seed(1)
    with seeded_globally(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, 3))
    x = torch.rand(20, 1, 2, 3, generator=draw)
    with measuring(network):
        once = first_order_margins(network, x, ["l2"])["l2"]
        scaled = first_order_margins(lambda z: 7 * network(z), x, ["l2"])["l2"]
    torch.testing.assert_close(once.margin, scaled.margin)
    torch.testing.assert_close(7 * once.logit_gap, scaled.logit_gap)
    torch.testing.assert_close(7 * once.gradient_norm, scaled.gradient_norm)


def test_a_constant_classifier_has_no_boundary():
    found = first_order_margins(
        lambda z: torch.ones(len(z), 3) + 0 * z.flatten(1)[:, :3], torch.full((4, 1, 2, 2), 0.5), ["linf"]
    )
    assert bool(found["linf"].margin.isinf().all())
