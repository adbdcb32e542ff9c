"""Angles between layers taken as vectors, in degrees."""

from __future__ import annotations

import math

from torch import Tensor


def angle_degrees(a: Tensor, b: Tensor) -> float:
    """The angle between two tensors of one shape; exact for small angles, nan where one of them is 0.

    Args:
        a: any shape, of all numbers.
        b: the same shape.
    """
    if not (float(a.norm()) > 0 and float(b.norm()) > 0):
        return math.nan
    a, b = a / a.norm(), b / b.norm()
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))
