"""A network that keeps account of an estimator: its passes, and how near it had come after how many of them."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor, nn

from bdry.core.norms import norm as norm_of

# pixel units: how far outside the box rounding may bring a point
OUTSIDE = 1e-6


def now(device: torch.device) -> float:
    """Seconds: CPU time of the process; on a GPU the clock's, once all its work is done."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Watched(nn.Module):
    """Counts the passes of every image of a batch, and keeps the nearest point beyond the boundary that it was shown.

    Estimators drop, repeat and reorder images: a point belongs to the image that it is nearest to. A gradient that
    reaches the logits is a backward pass of all their images.

    forwards, backwards: (N,) int64. events: after how many passes an image had which distance: (image, passes,
    distance) of every improvement. own_seconds: what the account takes, as `now` counts; it is not the
    estimator's.
    """

    def __init__(self, net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> None:
        super().__init__()
        self.net, self.x, self.labels, self.norm = net, x, labels, norm
        self.forwards, self.backwards = torch.zeros_like(labels), torch.zeros_like(labels)
        self.best = torch.full((len(x),), torch.inf, device=x.device)
        self.events: list[Tensor] = []
        self.own_seconds = 0.0

    def forward(self, z: Tensor) -> Tensor:
        logits = self.net(z)
        begin = now(z.device)
        owner = self._account(z.detach(), logits.detach())
        if logits.requires_grad:
            logits.register_hook(partial(self._count_backwards, owner))
        self.own_seconds += now(z.device) - begin
        return logits

    def _count_backwards(self, owner: Tensor, _: Tensor) -> None:
        self.backwards.index_add_(0, owner, torch.ones_like(owner))

    @torch.no_grad()
    def _account(self, z: Tensor, logits: Tensor) -> Tensor:
        flat = z.flatten(1)
        owner = torch.cdist(flat, self.x.flatten(1)).argmin(1)
        self.forwards.index_add_(0, owner, torch.ones_like(owner))
        inside = (flat.amin(1) >= -OUTSIDE) & (flat.amax(1) <= 1 + OUTSIDE)
        beyond = inside & (logits.argmax(1) != self.labels[owner])
        distance = torch.where(beyond, norm_of(z - self.x[owner], self.norm), torch.inf)
        best = self.best.scatter_reduce(0, owner, distance, "amin")
        nearer = (best < self.best).nonzero()[:, 0]
        if nearer.numel():
            passes = (self.forwards + self.backwards)[nearer]
            self.events.append(torch.stack([nearer.double(), passes.double(), best[nearer].double()], 1).cpu())
        self.best = best
        return owner
