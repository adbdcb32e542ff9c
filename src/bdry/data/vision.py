"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision's own classes, their files checked before they are read."""

from __future__ import annotations

import hashlib
import math
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .._vision import torchvision_datasets
from ..errors import DataError
from .dataset import DATASETS, Dataset, whole_split

DOWNLOAD_TIMEOUT_S = 30

# the four raw files of MNIST and Fashion-MNIST with the dimensions that their IDX headers must declare
IDX_FILES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}


@DATASETS.register("mnist")
def mnist(root: str, download: bool) -> Dataset:
    """MNIST's 60,000 training and 10,000 test images, 1x28x28."""
    return _idx_dataset("mnist", "MNIST", root, download)


@DATASETS.register("fashion_mnist")
def fashion_mnist(root: str, download: bool) -> Dataset:
    """Fashion-MNIST's 60,000 training and 10,000 test images, 1x28x28."""
    return _idx_dataset("fashion_mnist", "FashionMNIST", root, download)


@DATASETS.register("cifar10")
def cifar10(root: str, download: bool) -> Dataset:
    """CIFAR-10's 50,000 training and 10,000 test images, 3x32x32. Its pickles are read only after their md5 matched."""
    source = torchvision_datasets().CIFAR10
    folder = Path(root).expanduser()
    names = [*source.train_list, *source.test_list, [source.meta["filename"], source.meta["md5"]]]
    files = {folder / source.base_folder / file: md5 for file, md5 in names}
    if not all(path.exists() for path in files):
        _fetch(source, folder, list(files), download)
    for path, md5 in files.items():
        _refuse_html(path)
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{path}: truncated or changed (its md5 is not the official one): delete it and run again")
    train, test = (source(str(folder), train=is_train, download=False) for is_train in (True, False))
    train_split, test_split = (
        whole_split(torch.from_numpy(part.data).permute(0, 3, 1, 2), torch.tensor(part.targets))
        for part in (train, test)
    )
    return Dataset("cifar10", train_split, test_split, tuple(train.classes))


def _idx_dataset(name: str, folder_name: str, root: str, download: bool) -> Dataset:
    source = getattr(torchvision_datasets(), folder_name)
    folder = Path(root).expanduser()
    raw = folder / folder_name / "raw"
    if not all((raw / file).exists() for file in IDX_FILES):
        _fetch(source, folder, [raw / file for file in IDX_FILES], download)
    for file, shape in IDX_FILES.items():
        _check_idx(raw / file, shape)
    train, test = (source(str(folder), train=is_train, download=False) for is_train in (True, False))
    train_split, test_split = (whole_split(part.data, part.targets) for part in (train, test))
    if max(int(split.labels.max()) for split in (train_split, test_split)) >= len(train.classes):
        raise DataError(f"{raw}: labels beyond the {len(train.classes)} classes: delete the files there and run again")
    return Dataset(name, train_split, test_split, tuple(train.classes))


def _check_idx(path: Path, shape: tuple[int, ...]) -> None:
    """Raises `DataError` unless the file is an IDX file of unsigned bytes with exactly this shape."""
    _refuse_html(path)
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    with path.open("rb") as file:
        found = file.read(len(header))
    if found != header:
        raise DataError(
            f"{path}: not the IDX file expected there (shape {'x'.join(map(str, shape))}): delete it and run again"
        )
    size, expected = path.stat().st_size, len(header) + math.prod(shape)
    if size != expected:
        raise DataError(f"{path}: {size} bytes instead of {expected}, truncated or damaged: delete it and run again")


def _refuse_html(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            start = file.read(256).lstrip().lower()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(
            f"{path}: a web page, not data (a login or error page saved in its place): delete it and run again"
        )


def _fetch(source: Any, folder: Path, files: list[Path], download: bool) -> None:
    """Lets torchvision download into `folder`; a `DataError` that names the files and their place where it cannot."""
    missing = ", ".join(path.name for path in files if not path.exists())
    belongs = f"{missing} into {files[0].parent} (dataset.root={folder})"
    if not download:
        raise DataError(f"data files are missing and dataset.download=false: put {belongs}")
    try:
        with _network_timeout():
            source(str(folder), train=True, download=True)
    except (OSError, RuntimeError) as error:
        # torchvision's message lists its mirrors first; the reason comes last
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise DataError(f"data files are missing and could not be downloaded ({reason}): put {belongs}") from None


@contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
