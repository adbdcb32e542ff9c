"""Classes that are the same function twice: no boundary lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..core.halfspace import UNIT_BOX
from ..core.norms import norm as norm_of
from ..core.seeds import generator
from ..core.segments import rounding

if TYPE_CHECKING:
    from .search import Search

# gradients that differ by less than this share are the same
SAME_GRADIENT = 1e-5
# at how many random points of the box, and around an image, the same function has the same value
POINTS = 16


def twins(search: Search, logits: Tensor, own: Tensor) -> Tensor:
    """The classes that are the same function as the class `own`, (N,), of each image; (N, K) bool.

    They are tied with it at the image, with the same gradient there, and tied at random points near and far as well:
    where units are dead, different functions are tied at the image too.
    """
    found = torch.zeros_like(logits, dtype=torch.bool)
    tied = _tied(logits, own).scatter(1, own[:, None], False) & search.finite[:, None]
    rows = tied.any(1).nonzero()[:, 0]
    if rows.numel() == 0:
        return found
    z, values, _ = search.look(rows, search.x[rows])
    own_value = values.gather(1, own[rows, None])[:, 0]
    own_gradient, _ = search.gradient(rows, z, own_value, retain=True)
    for k in tied[rows].any(0).nonzero()[:, 0]:
        difference, _ = search.gradient(rows, z, values[:, k] - own_value, retain=True)
        same = norm_of(difference, "l2") <= SAME_GRADIENT * norm_of(own_gradient, "l2")
        found[rows, k] = tied[rows, k] & same
    rows = found.any(1).nonzero()[:, 0]
    for z in _elsewhere(search, rows) if len(rows) else ():
        found[rows] &= _tied(search.look(rows, z, graph=False)[1], own[rows])
    return found


def _tied(logits: Tensor, own: Tensor) -> Tensor:
    """The classes whose logits are those of `own`, (N,), but for rounding; (N, K) bool."""
    return (logits - logits.gather(1, own[:, None])).abs() <= rounding(logits)[:, None]


def _elsewhere(search: Search, rows: Tensor) -> Tensor:
    """Random points of the images `rows`, (P, R, ...): anywhere in the box, and from near each image to far away."""
    shape, draw = search.x.shape[1:], generator(0, "twins")
    anywhere = torch.rand((POINTS, *shape), generator=draw).to(search.x)
    offsets = torch.randn((POINTS, *shape), generator=draw).to(search.x)
    reach = torch.logspace(-2, 0, POINTS).to(search.x).reshape(-1, *[1] * len(shape))
    x = search.x[rows]
    around = x + (reach * offsets)[:, None]
    around = around.clamp(*UNIT_BOX) if search.clipped else around
    return torch.cat([anywhere[:, None].expand(-1, *x.shape), around])
