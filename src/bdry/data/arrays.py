"""`dataset=arrays`: images and labels out of a file of numbers, .npz, .npy or .csv."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..errors import ConfigError, DataError
from .dataset import DATASETS, IMAGES_ARE, Dataset, Split, divided, whole_split

# names under which an .npz usually holds them, those of the test split after those of the training split
USUAL = {
    "images": ("images", "x", "X", "data", "train_images", "x_train", "X_train"),
    "labels": ("labels", "y", "targets", "train_labels", "y_train"),
    "test_images": ("test_images", "x_test", "X_test"),
    "test_labels": ("test_labels", "y_test"),
}
# as far from 0 and 1 a sum of rounding errors may be
ROUNDING = 1e-3
Arrays = dict[str, np.ndarray]


@DATASETS.register("arrays")
def arrays(
    file: str,
    labels_file: str | None,
    test_file: str | None,
    test_labels_file: str | None,
    images: str | None,
    labels: str | None,
    test_images: str | None,
    test_labels: str | None,
    shape: list[int] | None,
    class_names: list[str] | None,
    test_fraction: float,
    split_seed: int,
) -> Dataset:
    """Images of uint8, or float in [0, 1], with their labels; the test split from its own arrays, or drawn.

    Images are (N, height, width), (N, channels, height, width), (N, height, width, channels) with 1 or 3 channels, or
    rows of numbers, (N, D). An image's index is its row. Labels are whole numbers or words; other numbers than
    0 ... K-1 are sorted and counted from 0.

    Args:
        file: `.npz` of images and labels, of both splits if it has a test split; `.npy` of images; `.csv` with a
            header, a column of labels and the pixels in the other columns. A csv of whole numbers up to 255 holds
            uint8, one with decimals, or of 0 and 1 alone, holds floats.
        labels_file: labels of a `.npy`.
        test_file, test_labels_file: of the test split, in the same form.
        images, labels, test_images, test_labels: their names in a `.npz`, where they are not usual ones (`USUAL`);
            `labels` is the column of a `.csv` that holds them, else `label`.
        shape: (C, H, W) of an image; None: from the array, rows of D numbers are 1x1xD.
        class_names: of the labels 0, 1, ...; None: the labels as words.
        test_fraction: share of the images for testing, the same of every class, where there is no test split.
        split_seed: of that choice.

    Raises:
        DataError, ConfigError: one line that names the file or key, what is wrong and what would be right.
    """
    given = {"images": images, "labels": labels, "test_images": test_images, "test_labels": test_labels}
    keys = {what: name for what, name in given.items() if name is not None}
    found = _read(Path(file).expanduser(), labels_file, keys, "dataset.labels_file")
    if test_file is not None:
        test = _read(Path(test_file).expanduser(), test_labels_file, keys, "dataset.test_labels_file")
        found |= {"test_images": test["images"], "test_labels": test["labels"]}
    if ("test_images" in found) != ("test_labels" in found):
        raise DataError(f"{file}: test images and test labels go together; there are {', '.join(sorted(found))}")
    if not found["labels"].size:
        raise DataError(f"{file}: no image in it")
    numbered, names = _numbered(file, found, class_names)
    parts = {}
    for part, of_part in numbered.items():
        pixels = _images(file, found[part.replace("labels", "images")], shape)
        if len(pixels) != len(of_part):
            raise DataError(f"{file}: {len(pixels)} images, but {len(of_part)} {part.replace('_', ' ')}")
        parts[part] = whole_split(pixels, of_part)
    train, test_split = _two(parts, test_fraction, split_seed)
    return Dataset("arrays", train, test_split, names)


def _two(parts: dict[str, Split], test_fraction: float, split_seed: int) -> tuple[Split, Split]:
    if "test_labels" in parts:
        return parts["labels"], parts["test_labels"]
    return divided(parts["labels"], test_fraction, split_seed)


def _read(path: Path, labels_file: str | None, keys: dict[str, str], labels_key: str) -> Arrays:
    if not path.is_file():
        folder = f"dataset=folder dataset.root={path} reads a folder; " if path.is_dir() else ""
        raise DataError(f"{path}: no such file; {folder}wanted is an .npz, .npy or .csv of images and labels")
    if labels_file is not None and path.suffix.lower() != ".npy":
        raise DataError(f"{labels_key}={labels_file}: goes with images of an .npy; {path.name} has its own labels")
    if path.suffix.lower() == ".csv":
        return _read_csv(path, keys.get("labels", "label"))
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        if labels_file is None:
            raise DataError(f"{path}: images without labels: {labels_key}=<file>.npy gives them")
        labels = _load(Path(labels_file).expanduser())
        if not isinstance(labels, np.ndarray):
            raise DataError(f"{labels_file}: wanted is an .npy of labels")
        return {"images": loaded, "labels": labels}
    found = {}
    for what, usual in USUAL.items():
        name = keys.get(what) or next((name for name in usual if name in loaded), None)
        if name is not None and name in loaded:
            found[what] = loaded[name]
        elif what in keys or not what.startswith("test"):
            raise DataError(
                f"{path}: no array {keys.get(what, what)} in it, there are {', '.join(loaded) or 'none'}: "
                f"dataset.{what}=<name> says which holds the {what.replace('_', ' ')}"
            )
    return found


def _load(path: Path) -> np.ndarray | Arrays:
    # a pipe would be waited for
    if not path.is_file():
        raise DataError(f"{path}: no such file; wanted is an .npy")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # what numpy says of every file that is neither, too
        reason = "it is neither, or holds Python objects" if "allow_pickle" in reason else reason
        raise DataError(f"{path}: cannot be read as .npy or .npz of numbers ({reason})") from None


def _read_csv(path: Path, label: str) -> Arrays:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # else pandas would take what is too much for names of rows
            table = pd.read_csv(path, index_col=False)
    except pd.errors.ParserWarning:
        raise DataError(f"{path}: its rows have more numbers than its first line has names") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    if label not in table.columns:
        columns = ", ".join(map(str, table.columns[:4]))
        if all(re.fullmatch(r"[-+.\de]+", column) for column in map(str, table.columns)):
            raise DataError(
                f"{path}: its first line is numbers ({columns}): wanted is a header that names the columns, "
                f"{label} that of the labels, or dataset.labels=<column> where these are the names"
            )
        if len(table.columns) == 1:
            raise DataError(f"{path}: one column alone, {columns[:60]}: wanted are commas between the columns")
        raise DataError(
            f"{path}: no column {label} (the first are {columns}): dataset.labels=<column> says which holds the labels"
        )
    if table[label].isna().any():
        raise DataError(f"{path}: row {int(table[label].isna().to_numpy().argmax()) + 1} has no label")
    pixels = table.drop(columns=label)
    if pixels.empty:
        raise DataError(
            f"{path}: {len(table)} rows of {pixels.shape[1]} pixels: wanted are a row an image, a column a pixel"
        )
    # so pandas calls the second of a name
    if f"{label}.1" in pixels.columns:
        raise DataError(f"{path}: two columns {label}: wanted is one, all others are pixels")
    for column in pixels.columns:
        if re.fullmatch(r"Unnamed: \d+|id|idx|index", str(column), re.IGNORECASE):
            name = "without a name" if column.startswith("Unnamed") else column
            raise DataError(
                f"{path}: a column {name}, as of row numbers: all but {label} are pixels (index=False of pandas)"
            )
        if not pd.api.types.is_numeric_dtype(pixels[column]) or pixels[column].isna().any():
            raise DataError(f"{path}: column {column} holds something else than numbers: all but {label} are pixels")
    values = pixels.to_numpy()
    beyond = (values < 0).any(axis=0) | (values > 255).any(axis=0)
    if beyond.any():
        column = pixels.columns[int(beyond.argmax())]
        low, high = pixels[column].min(), pixels[column].max()
        raise DataError(f"{path}: column {column} has numbers from {low:g} to {high:g}: {IMAGES_ARE}")
    if np.issubdtype(values.dtype, np.integer) and values.size and values.min() >= 0 and 1 < values.max() <= 255:
        values = values.astype(np.uint8)
    elif values.dtype != np.float32:
        values = values.astype(np.float64)
    return {"images": values, "labels": table[label].to_numpy()}


def _images(file: str, values: np.ndarray, shape: list[int] | None) -> torch.Tensor:
    if values.dtype != np.uint8 and not np.issubdtype(values.dtype, np.floating):
        hint = ""
        if np.issubdtype(values.dtype, np.integer) and values.size and values.min() >= 0:
            hint = "; numbers up to 255: images.astype('uint8')"
            if values.max() > 255:
                hint = "; numbers up to 65535: (images / 65535).astype('float32')" if values.max() <= 65535 else ""
        raise DataError(f"{file}: images of type {values.dtype}: {IMAGES_ARE}{hint}")
    if np.issubdtype(values.dtype, np.floating) and values.size:
        low, high = float(values.min()), float(values.max())
        # what is beyond 1 by less than float32 can tell is 1
        if not (low >= 0 and np.float32(min(high, 2.0)) <= 1):
            hint = "; numbers up to 255: images / 255, or images.astype('uint8')" if low >= 0 and high <= 255 else ""
            if low < 0:
                hint = "; if normalised: undo it, and give preprocessing.mean and preprocessing.std"
            hint = "; by rounding: images.clip(0, 1)" if low > -ROUNDING and high < 1 + ROUNDING else hint
            raise DataError(f"{file}: pixels from {low:.9g} to {high:.9g}: {IMAGES_ARE}{hint}")
        values = values.astype(np.float32)
    if shape is not None and values.ndim:
        if len(shape) != 3 or values.size != len(values) * int(np.prod(shape)):
            per_image = values.size // max(len(values), 1)
            raise ConfigError(
                "dataset.shape", shape, f"{file} has {per_image} numbers an image: [channels,height,width]"
            )
        values = values.reshape(len(values), *shape)
    elif values.ndim == 2:
        values = values[:, None, None]
    elif values.ndim == 4 and values.shape[3] in (1, 3) and values.shape[1] not in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    elif values.ndim == 4 and _look_last(*values.shape[1:]):
        first = ",".join(map(str, values.shape[1:]))
        raise DataError(
            f"{file}: images of shape {values.shape}: channels last are understood where there are 1 or 3: "
            f"images[..., :3], or images.transpose(0, 3, 1, 2); dataset.shape=[{first}] if they come first"
        )
    if values.ndim not in (3, 4):
        raise DataError(
            f"{file}: images of shape {values.shape}: wanted is (N, height, width), with channels, or (N, D)"
        )
    return torch.from_numpy(np.ascontiguousarray(values))


def _look_last(first: int, second: int, third: int) -> bool:
    """Whether an image of this shape seems to have its channels last."""
    return first not in (1, 3) and (first > 4 >= third or first == second != third)


def _numbered(
    file: str, found: Arrays, class_names: list[str] | None
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The labels of each split as 0 ... K-1, and what the classes are called."""
    given = {part: values for part, values in found.items() if part.endswith("labels")}
    for part, raw in given.items():
        values = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
        whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and np.array_equal(values, np.rint(values)))
        counted = whole and (not values.size or max(-float(values.min()), float(values.max())) < 2**63)
        if values.ndim != 1 or not (counted or values.dtype.kind in "USO"):
            raise DataError(
                f"{file}: {part.replace('_', ' ')} of shape {values.shape} and type {values.dtype}: "
                f"wanted is one {'whole number of 64 bits' if whole else 'whole number'} or word an image"
            )
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "backslashreplace")
        given[part] = values.astype(np.int64) if whole else values.astype(str)
    if len({values.dtype.kind for values in given.values()}) > 1:
        raise DataError(f"{file}: labels and test labels are words in one and numbers in the other")
    unseen = np.setdiff1d(given.get("test_labels", given["labels"]), given["labels"])
    if unseen.size and class_names is None:
        raise DataError(
            f"{file}: no training image has the label {unseen[0]} of test images; labels of both count from the same "
            "number, and dataset.class_names= names a class that is not trained on"
        )
    classes = np.unique(np.concatenate(list(given.values())))
    if class_names is not None and classes.dtype.kind == "i" and classes.size and classes[0] >= 0:
        # a class that has no image here keeps its number
        classes = np.arange(max(len(class_names), int(classes[-1]) + 1))
    if class_names is not None and len(class_names) != len(classes):
        raise ConfigError("dataset.class_names", class_names, f"{file} has {len(classes)} classes")
    names = class_names or [str(label) for label in classes]
    numbered = {part: torch.from_numpy(np.searchsorted(classes, values)) for part, values in given.items()}
    return numbered, tuple(names)
