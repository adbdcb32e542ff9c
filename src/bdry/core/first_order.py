"""The margin to first order, split into what it is made of: the logit gap over the gap's gradient norm at the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .measuring import Model, evaluate, with_gradients
from .norms import dual_norm


@dataclass(frozen=True)
class FirstOrder:
    """One row an image.

    margin: (N,), logit_gap / gradient_norm, pixel units of [0, 1]; inf where no gap has a gradient. logit_gap: (N,),
    f_a - f_b at the image, of the predicted class a and the class b whose linearised boundary is nearest.
    gradient_norm: (N,), dual norm of the gap's gradient. boundary_class: (N,) int64, b.
    """

    margin: Tensor
    logit_gap: Tensor
    gradient_norm: Tensor
    boundary_class: Tensor


@with_gradients()
def first_order_margins(model: Model, x: Tensor, norms: Sequence[str]) -> dict[str, FirstOrder]:
    """By norm, the distance to the boundary of the model linearised at each image: DeepFool's first step, no box.

    Where the mean of the margins falls over training, `logit_gap` and `gradient_norm` say which of the two drives it:
    log margin = log logit_gap - log gradient_norm. It costs one backward pass for each class, whatever the norms.

    Args:
        model: images to logits, in the state that `core.measuring` makes.
        x: (N, C, H, W).
        norms: of the distance, `l2`, `linf` or both; the gradient is measured in the dual norm.

    Source: Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599), equation 8.
    """
    z, logits = evaluate(model, x)
    own = logits.detach().argmax(1)
    rows = torch.arange(len(x), device=x.device)
    gaps = logits[rows, own][:, None] - logits
    lengths: dict[str, list[Tensor]] = {norm: [] for norm in norms}
    for k in range(logits.shape[1]):
        gradient = torch.autograd.grad(gaps[:, k].sum(), z, retain_graph=True)[0]
        for norm, found in lengths.items():
            found.append(dual_norm(gradient, norm))
    return {norm: _nearest(gaps.detach(), torch.stack(found, dim=1), own) for norm, found in lengths.items()}


def _nearest(gaps: Tensor, lengths: Tensor, own: Tensor) -> FirstOrder:
    """Of the classes' gaps and gradient norms, (N, K) both, those of the class whose linearised boundary is nearest."""
    rows = torch.arange(len(gaps), device=gaps.device)
    margins = torch.where(lengths > 0, gaps / lengths, torch.inf)
    margins[rows, own] = torch.inf
    margin, nearest = margins.min(1)
    return FirstOrder(margin, gaps[rows, nearest], lengths[rows, nearest], nearest)
