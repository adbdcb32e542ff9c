"""`dataset=folder`: image files in a folder a class, as torchvision's ImageFolder lays them out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._vision import torchvision_datasets
from ..errors import DataError
from .dataset import DATASETS, Dataset, Split, divided

MODES = {"grey": "L", "colour": "RGB"}
# what a folder of a split may be called, in small letters: no class is
SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
# what is an image too, and not read: to pass it over would be to leave images out without a word
UNREAD = {".gif", ".jfif", ".jpe", ".jp2", ".avif", ".heic", ".heif", ".tga", ".jxl"}
LAYOUT = "wanted is <root>/<class>/<image>, or <root>/train/<class>/<image> and <root>/test/<class>/<image>"


@DATASETS.register("folder")
def folder(root: str, channels: str, size: list[int] | None, test_fraction: float, split_seed: int) -> Dataset:
    """The images below `root`, in `train` and `test` where both are there, else divided at random.

    Classes are the folders' names, sorted. An image's index is its place among the sorted paths, of its split's folder
    or of all. Files and folders that systems hide (`._a.png`, `.ipynb_checkpoints`, `__MACOSX`) are no images and no
    classes.

    Args:
        channels: `grey` or `colour`; the files are converted.
        size: [height, width] to resize to (bilinear, smoothed where it shrinks); None: as they are, all of one size.
        test_fraction: share of the images for testing, the same of every class, where there is no folder `test`.
        split_seed: of that choice.

    Raises:
        DataError: there are no such folders, all of them are named as splits are, links lead to an image twice, or a
            file is no image, of a kind that is not read, of another size than the first, or of more than 8 bits a
            channel.
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
    # a name may have bytes that are no text
    names = (os.fsencode(name).decode(errors="backslashreplace") for name in classes)
    return Dataset("folder", train, test, tuple(names))


def is_hidden(path: Path) -> bool:
    """Whether systems and editors keep it beside a user's files without showing it.

    Args:
        path: relative to the user's folder.
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _read(place: Path, channels: str, size: list[int] | None) -> tuple[Split, list[str]]:
    samples, classes = _listed(place)
    arrays: list[np.ndarray] = []
    paths: dict[str, str] = {}
    for path, _ in samples:
        # an image that links lead to twice may be trained on and tested with
        if (twice := paths.setdefault(os.path.realpath(path), path)) != path:
            raise DataError(f"{path}: by links the same file as {twice}: an image may stand in the folder once")
        array = _image(path, channels, size)
        if arrays and array.shape != arrays[0].shape:
            shapes = ("x".join(map(str, one.shape[:2])) for one in (array, arrays[0]))
            first = Path(samples[0][0]).name
            raise DataError(
                f"{path}: {next(shapes)} pixels, but {first} has {next(shapes)}: dataset.size=[height,width] resizes"
            )
        arrays.append(array)
    images = torch.from_numpy(np.stack(arrays))
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor([label for _, label in samples]), torch.arange(len(images))), classes


def _listed(place: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """The images below `place` with their classes' numbers, and the classes."""
    layout = torchvision_datasets().folder

    kinds = ", ".join(kind.removeprefix(".") for kind in layout.IMG_EXTENSIONS)

    def is_image(path: str) -> bool:
        if is_hidden(Path(path).relative_to(place)):
            return False
        if Path(path).suffix.lower() in UNREAD:
            raise DataError(f"{path}: images of this kind are not read ({kinds} are): convert it, or take it away")
        return bool(layout.is_image_file(path))

    classes = sorted(one.name for one in place.iterdir() if one.is_dir() and not is_hidden(Path(one.name)))
    if not classes:
        raise DataError(f"{place}: no folder of a class in it; {LAYOUT}")
    if SPLITS.issuperset(name.casefold() for name in classes):
        raise DataError(
            f"{place}: {', '.join(classes)} are splits by their names, not classes: there must be both train and test, "
            f"or dataset.root={place / classes[0]} has the classes in it and a share of each is for testing"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    try:
        return layout.make_dataset(str(place), numbers, is_valid_file=is_image), classes
    except FileNotFoundError as error:
        without = str(error).splitlines()[0].partition("for the classes ")[2].rstrip(". ")
        raise DataError(f"{place}: no image ({kinds}) in {without}; {LAYOUT}") from None


def _image(path: str, channels: str, size: list[int] | None) -> np.ndarray:
    from PIL import Image

    # a pipe would be waited for
    if not Path(path).is_file():
        raise DataError(f"{path}: no file, or a link to none")
    try:
        with Image.open(path) as file:
            # Pillow reads 16 bits of grey as such, and of colours the upper 8 without a word
            colours = re.search(r"\w+;16[BLN]", str([tile[3] for tile in file.tile]))
            if colours or file.mode.startswith(("I", "F")):
                depth = colours[0] if colours else file.mode
                raise DataError(f"{path}: more than 8 bits a channel ({depth}): save it as 8-bit, or as an array")
            # of a palette with transparent colours Pillow warns unless they are taken as such
            whole: Any = file.convert("RGBA") if "transparency" in file.info else file
            image: Any = whole.convert(MODES[channels])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({str(error).splitlines()[0]})") from None
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(image)
