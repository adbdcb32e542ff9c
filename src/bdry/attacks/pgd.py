"""Projected gradient descent on the cross-entropy (Madry et al. 2018, arXiv 1706.06083), in l2 and linf."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.measuring import Model, logits_of, with_gradients
from ..core.norms import check_norm, project_ball, random_in_ball, steepest


@dataclass(frozen=True)
class AttackResult:
    """Perturbed images and what they cost, one row an image.

    images: (N, ...), inside the ball and the [0, 1] box. success: (N,) bool, the label is wrong there.
    forwards, backwards: (N,) int64, passes spent.
    """

    images: Tensor
    success: Tensor
    forwards: Tensor
    backwards: Tensor


@with_gradients()
def pgd(
    model: Model,
    x: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    step_size: float,
    steps: int,
    generator: torch.Generator,
    restarts: int = 1,
    random_start: bool = True,
    stop_at_success: bool = False,
    last_look: bool = True,
) -> AttackResult:
    """Images in the ball of radius `eps` around `x`, and in the box, that raise the loss on `labels`.

    Each step goes `step_size` along the norm's steepest direction (the gradient's sign, or the normalised
    gradient), back into the ball, then into the box. Of several restarts each image keeps the one of highest loss, a
    wrong label above all.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        labels: (N,) int64.
        norm: "l2" or "linf".
        eps: radius in that norm, pixel units of [0, 1].
        step_size: length of a step in that norm, pixel units.
        steps: steps of each start, at least 0.
        generator: of the random starts, drawn on the CPU.
        restarts: starts of each image.
        random_start: whether a start is drawn uniformly from the ball; False: the image itself starts.
        stop_at_success: drop an image from the batch once its label is wrong, as a measurement of robustness may;
            training wants the full number of steps.
        last_look: False leaves out the forward pass on the final images, which chooses nothing where there is one
            restart; `success` is then False everywhere.

    Raises:
        ValueError: an unknown norm, labels that are no (N,) int64; no last look, but several restarts, or
            `stop_at_success`, which need it.

    Differs: Madry et al. state the method for linf; the l2 form is the usual one.
    """
    check_norm(norm)
    if labels.shape != x.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels are {labels.dtype} of shape {tuple(labels.shape)}: must be int64, one for each image")
    if not last_look and (restarts > 1 or stop_at_success):
        raise ValueError("last_look=False leaves out what chooses among restarts and what stops: one restart, no stop")
    x, n = x.detach(), len(x)
    best, best_loss = x.clone(), torch.full((n,), -torch.inf, dtype=x.dtype, device=x.device)
    success = torch.zeros(n, dtype=torch.bool, device=x.device)
    forwards, backwards = (torch.zeros(n, dtype=torch.int64, device=x.device) for _ in range(2))
    for _ in range(restarts):
        # drawn for every image, so that an image's start does not depend on which others are finished
        noise = random_in_ball(x.shape, norm, eps, generator).to(x) if random_start else torch.zeros_like(x)
        rows = (~success).nonzero()[:, 0] if stop_at_success else torch.arange(n, device=x.device)
        if stop_at_success and rows.numel() == 0:
            # some networks, transformers among them, take no empty batch
            break
        image, label = x[rows], labels[rows]
        z = (image + noise[rows]).clamp(0, 1)
        for step in range(steps + last_look):
            z = z.detach().requires_grad_(step < steps)
            with torch.set_grad_enabled(step < steps):
                logits = logits_of(model, z)
                loss = F.cross_entropy(logits, label, reduction="none")
            forwards[rows] += 1
            if step == steps or stop_at_success:
                wrong = logits.argmax(1) != label
                won = wrong & ~success[rows]
                better = won | ((wrong == success[rows]) & (loss.detach() > best_loss[rows]))
                best[rows[better]] = z.detach()[better]
                best_loss[rows[better]] = loss.detach()[better]
                success[rows] |= wrong
            if step == steps:
                break
            gradient = torch.autograd.grad(loss.sum(), z)[0]
            backwards[rows] += 1
            if stop_at_success and bool(wrong.any()):
                rows, z, gradient = rows[~wrong], z[~wrong], gradient[~wrong]
                image, label = x[rows], labels[rows]
                if rows.numel() == 0:
                    break
            moved = z.detach() + step_size * steepest(gradient, norm)
            z = (image + project_ball(moved - image, norm, eps)).clamp(0, 1)
    return AttackResult(best if last_look else z.detach(), success, forwards, backwards)


def robust_accuracy(
    model: Model,
    x: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    restarts: int,
    generator: torch.Generator,
    batch_size: int,
) -> float:
    """The share of images whose label stays right at the image itself and under PGD with steps of 2.5 eps / `steps`.

    An upper bound on the true robust accuracy; nan of no images. An image whose logits are nan is not right. `model`
    must be in the state that `core.measuring` makes.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true ones.
        norm: "l2" or "linf".
        eps: radius in that norm, pixel units of [0, 1].
        steps: PGD's steps of each start.
        restarts: starts of each image.
        generator: of the random starts, drawn on the CPU.
        batch_size: images at a time.
    """
    robust = 0
    for part, wanted in zip(x.split(batch_size), labels.split(batch_size), strict=True):
        with torch.no_grad():
            logits = logits_of(model, part)
            kept = (logits.argmax(1) == wanted) & ~logits.isnan().any(1)
        if eps == 0 or not bool(kept.any()):
            robust += int(kept.sum())
            continue
        attacked = pgd(
            model,
            part[kept],
            wanted[kept],
            norm=norm,
            eps=eps,
            step_size=2.5 * eps / max(steps, 1),
            steps=steps,
            restarts=restarts,
            generator=generator,
            stop_at_success=True,
        )
        robust += int((~attacked.success).sum())
    return robust / len(x) if len(x) else math.nan
