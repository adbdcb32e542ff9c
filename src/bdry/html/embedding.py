"""Pictures inside the page, as data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

# wider pictures are made smaller: a photograph is recognised at this size
WIDEST = 96


def png_uri(content: bytes) -> str:
    """A PNG file's bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def picture(image: np.ndarray) -> str:
    """An image, (C, H, W) of 1 or 3 channels, as a data URI of a PNG.

    Whole numbers are levels of 256, others are in [0, 1]; what lies outside is cut off.
    """
    levels = image if image.dtype == np.uint8 else np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    shown = Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels[:3].transpose(1, 2, 0)))
    shown.thumbnail((WIDEST, WIDEST))
    content = io.BytesIO()
    shown.save(content, format="PNG", optimize=True)
    return png_uri(content.getvalue())


def difference(image: np.ndarray, origin: np.ndarray) -> str:
    """`image` minus `origin`, both as in `picture`: 0 is grey, the largest change of a pixel black or white."""
    change = _pixels(image) - _pixels(origin)
    largest = np.abs(change).max()
    return picture(0.5 + (change / (2 * largest) if largest > 0 else change))


def is_picture(image: np.ndarray) -> bool:
    """Whether `image` can be shown: (C, H, W) of numbers, 1 or 3 channels, more than a row of pixels."""
    return image.ndim == 3 and image.shape[0] in (1, 3) and min(image.shape[1:]) > 1 and image.dtype.kind in "fu"


def _pixels(image: np.ndarray) -> np.ndarray:
    return np.nan_to_num(image.astype(np.float64)) / (255 if image.dtype == np.uint8 else 1)
