"""Rates of convergence on frozen features: theta = c / ||W||, ||W|| = slope ln t, log loss = slope ln t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rate_fit(
    steps: Sequence[int], norms: Sequence[float], angles: Sequence[float], log_losses: Sequence[float]
) -> dict[str, float]:
    """Least squares on the later half of the checkpoints, those after step 0; columns of `svm_rate_fit`.

    Args:
        steps: of each checkpoint.
        norms: of the layer at each.
        angles: to the SVM at each, degrees.
        log_losses: logarithm of the summed loss at each.

    Returns:
        c_theta (degrees x norm, of theta on 1 / norm through the origin) with its r2, norm_per_log_step and
        log_loss_per_log_step (slopes by ln t; the limit's are ||W_svm|| and -1 for plain gradient descent).

    Raises:
        ValueError: fewer than four checkpoints after step 0.

    Source: Soudry et al. 2018 for the rates.
    """
    table = np.array([row for row in zip(steps, norms, angles, log_losses, strict=True) if row[0] > 0], dtype=float)
    if len(table) < 4:
        raise ValueError(f"a rate needs four checkpoints after step 0, there are {len(table)}")
    step, norm, angle, log_loss = table[len(table) // 2 :].T
    c_theta = float((angle / norm).sum() / (1 / norm**2).sum())
    spread = float(((angle - angle.mean()) ** 2).sum())
    left = float(((angle - c_theta / norm) ** 2).sum())
    return {
        "c_theta": c_theta,
        "norm_per_log_step": float(np.polyfit(np.log(step), norm, 1)[0]),
        "log_loss_per_log_step": float(np.polyfit(np.log(step), log_loss, 1)[0]),
        "r2": 1 - left / spread if spread > 0 else float("nan"),
    }
