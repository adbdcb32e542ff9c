"""`dataset=folder`: image files in a folder a class, as torchvision's ImageFolder lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._vision import torchvision_datasets
from ..errors import DataError
from .dataset import DATASETS, Dataset, Split, divided

MODES = {"grey": "L", "colour": "RGB"}
LAYOUT = "wanted is <root>/<class>/<image>, or <root>/train/<class>/<image> and <root>/test/<class>/<image>"


@DATASETS.register("folder")
def folder(root: str, channels: str, size: list[int] | None, test_fraction: float, split_seed: int) -> Dataset:
    """The images below `root`, in `train` and `test` where both are there, else divided at random.

    Classes are the folders' names, sorted. An image's index is its place among the sorted paths, of its split's folder
    or of all.

    Args:
        channels: `grey` or `colour`; the files are converted.
        size: [height, width] to resize to (bilinear, smoothed where it shrinks); None: as they are, all of one size.
        test_fraction: share of the images for testing, the same of every class, where there is no folder `test`.
        split_seed: of that choice.

    Raises:
        DataError: there are no such folders, or a file is no image, of another size than the first, or of more than 8
            bits a channel.
    """
    place = Path(root).expanduser()
    if not place.is_dir():
        raise DataError(f"dataset.root={root}: not a folder; {LAYOUT}")
    if (place / "train").is_dir() and (place / "test").is_dir():
        (train, classes), (test, others) = (_read(place / part, channels, size) for part in ("train", "test"))
        if classes != others:
            odd = sorted(set(classes) ^ set(others))
            raise DataError(f"{place}: train and test have different classes, {odd[0]} is in one of them only")
    else:
        whole, classes = _read(place, channels, size)
        train, test = divided(whole, test_fraction, split_seed)
    return Dataset("folder", train, test, tuple(classes))


def _read(place: Path, channels: str, size: list[int] | None) -> tuple[Split, list[str]]:
    try:
        found = torchvision_datasets().ImageFolder(str(place))
    except FileNotFoundError as error:
        raise DataError(f"{place}: {str(error).splitlines()[0]}; {LAYOUT}") from None
    arrays: list[np.ndarray] = []
    for path, _ in found.samples:
        array = _image(path, channels, size)
        if arrays and array.shape != arrays[0].shape:
            shapes = ("x".join(map(str, one.shape[:2])) for one in (array, arrays[0]))
            first = Path(found.samples[0][0]).name
            raise DataError(
                f"{path}: {next(shapes)} pixels, but {first} has {next(shapes)}: dataset.size=[height,width] resizes"
            )
        arrays.append(array)
    images = torch.from_numpy(np.stack(arrays))
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(found.targets), torch.arange(len(images))), list(found.classes)


def _image(path: str, channels: str, size: list[int] | None) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise DataError(f"{path}: more than 8 bits a channel ({file.mode}): save it as 8-bit, or as an array")
            image: Any = file.convert(MODES[channels])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({str(error).splitlines()[0]})") from None
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(image)
