"""The loss and its gradient against torch's own formulas and autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bdry.deepdig.training import Gradient, class_term, reconstruction_term


@pytest.mark.parametrize("num_classes", [2, 10])
def test_class_terms_are_what_the_specification_says(num_classes):
    # float64: the reference rounds 1 - p
    logits = 3 * torch.randn(50, num_classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    goal = torch.arange(50) % num_classes
    wanted = F.binary_cross_entropy(logits.softmax(1), F.one_hot(goal, num_classes).double(), reduction="none").mean(1)
    torch.testing.assert_close(class_term(logits, goal, "bce"), wanted)
    torch.testing.assert_close(class_term(logits, goal, "ce"), F.cross_entropy(logits, goal, reduction="none"))


def test_a_confident_classifier_still_has_a_gradient():
    logits = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    class_term(logits, torch.tensor([1]), "bce").sum().backward()
    assert float(logits.grad[0, 0]) > 0.3
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("class_kind", ["bce", "ce"])
@pytest.mark.parametrize("reconstruction", ["bce", "mse"])
def test_gradient_is_that_of_autograd(fcn, class_kind, reconstruction):
    draw = torch.Generator().manual_seed(0)
    decoded, x = torch.randn(3, 5, 1, 8, 8, generator=draw), torch.rand(3, 5, 1, 8, 8, generator=draw)
    goal = torch.tensor([0, 1, 3])
    share = torch.tensor([[0.2] * 5, [0.2] * 5, [0.5, 0.5, 0, 0, 0]])
    gradient = Gradient(x, alpha=0.7, class_kind=class_kind, reconstruction=reconstruction)
    found, class_terms = gradient(fcn.requires_grad_(False), decoded, x, goal, share)
    leaf = decoded.clone().requires_grad_(True)
    x_hat = leaf.sigmoid()
    p = fcn(x_hat.flatten(0, 1)).softmax(1)
    y = F.one_hot(goal.repeat_interleave(5), 4).float()
    terms = F.binary_cross_entropy(p, y, reduction="none").mean(1) if class_kind == "bce" else -(p.log() * y).sum(1)
    pixel = F.binary_cross_entropy if reconstruction == "bce" else F.mse_loss
    r = (pixel(x_hat, x, reduction="none").mean((2, 3, 4)) * share).sum(1)
    t = (terms.view(3, 5) * share).sum(1)
    (r + 0.7 * t).sum().backward()
    torch.testing.assert_close(found, leaf.grad, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close((class_terms * share).sum(1), t.detach())
    torch.testing.assert_close(
        (reconstruction_term(decoded, x, reconstruction) * share).sum(1), r.detach(), rtol=1e-5, atol=1e-7
    )
