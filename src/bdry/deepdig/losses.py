"""The two terms of an autoencoder's loss, R + alpha T, and the gradient with respect to what its sigmoid takes.

Both terms are computed from logits. The authors take logarithms of rounded sigmoids and softmaxes, whose gradient is 0
as soon as one of them rounds to 0 or 1; elsewhere the numbers are the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.measuring import Model, logits_of

CLASS_TERMS = ("bce", "ce")
RECONSTRUCTIONS = ("bce", "mse")
# images that the classifier takes at once on a CPU: what it computes of more falls out of the caches
CPU_PART = 256


def reconstruction_term(decoded: Tensor, x: Tensor, kind: str) -> Tensor:
    """R of each image, the mean over its pixels; `decoded` before the sigmoid, (P, B, ...) -> (P, B).

    bce: -[x log x_hat + (1 - x) log(1 - x_hat)]; mse: (x_hat - x)^2. Source: docs/papers/karimi2020.md.
    """
    if kind == "bce":
        value = F.binary_cross_entropy_with_logits(decoded, x, reduction="none")
    else:
        value = (decoded.sigmoid() - x) ** 2
    return value.flatten(2).mean(2)


def class_term(logits: Tensor, goal: Tensor, kind: str) -> Tensor:
    """T of each image for the class `goal`, (N,): (N, K) -> (N,).

    bce: -[log p_goal + sum over k != goal of log(1 - p_k)] / K, as coded; ce: -log p_goal, about K times as heavy.
    Source: docs/papers/karimi2020.md.
    """
    log_p = logits.log_softmax(1)
    right = log_p.gather(1, goal[:, None])[:, 0]
    if kind == "ce":
        return -right
    # only the largest p can be so near to 1 that 1 - p has to be added up from the others
    top = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    small = log_p.exp().scatter(1, top, 0.0)
    log_not_p = torch.log1p(-small).scatter(1, top, others)
    wrong = log_not_p.sum(1) - log_not_p.gather(1, goal[:, None])[:, 0]
    return -(right + wrong) / logits.shape[1]


class Gradient:
    """The gradient of sum over b of share_b (R_b + alpha T_b) with respect to what the sigmoids of P networks take.

    Large tensors are kept from one step to the next: on a CPU a fresh one costs more than the arithmetic on it.
    """

    def __init__(self, like: Tensor, *, alpha: float, class_kind: str, reconstruction: str) -> None:
        self.alpha, self.class_kind, self.reconstruction = alpha, class_kind, reconstruction
        self._x_hat, self._slope, self._found = (torch.empty_like(like) for _ in range(3))

    def __call__(self, model: Model, decoded: Tensor, x: Tensor, goal: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient, of the shape of `decoded` and overwritten by the next call, and T of each image, (P, B).

        Args:
            decoded: (P, B, C, H, W), before the sigmoid.
            x: the same shape.
            goal: (P,).
            share: (P, B), weights of the mean.
        """
        with torch.no_grad():
            x_hat = torch.sigmoid(decoded, out=self._x_hat)
        images, goals, weights = x_hat.flatten(0, 1), goal.repeat_interleave(x.shape[1]), share.flatten()
        size = CPU_PART if x.device.type == "cpu" else len(images)
        parts = zip(images.split(size), goals.split(size), weights.split(size), strict=True)
        gradients, terms = zip(*(self._of_class_term(model, *part) for part in parts), strict=True)
        found = torch.cat(gradients, out=self._found.flatten(0, 1)).view_as(x_hat)
        with torch.no_grad():
            slope = torch.addcmul(x_hat, x_hat, x_hat, value=-1, out=self._slope)
            found.mul_(slope)
            weight = share[:, :, None, None, None] / x[0, 0].numel()
            difference = x_hat.sub_(x)
            if self.reconstruction == "mse":
                difference.mul_(slope).mul_(2)
            found.addcmul_(difference, weight)
        return found, torch.cat(terms).view_as(share)

    def _of_class_term(self, model: Model, images: Tensor, goals: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of alpha times the weighted sum of T with respect to the images, and T of each."""
        leaf = images.detach().requires_grad_(True)
        with torch.enable_grad():
            terms = class_term(logits_of(model, leaf).float(), goals, self.class_kind)
            (found,) = torch.autograd.grad((self.alpha * terms * weights).sum(), leaf)
        return found, terms.detach()
