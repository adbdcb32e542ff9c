"""What the image explorer shows: of some images of each run the margins over training, nearest points, instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ..runs import RunRecord
from .embedding import difference, is_picture, picture
from .single_images import IMAGE, Curves, Instances, Nearest, below, curves, instances, nearest

# borderline instances shown of an image, the nearest ones
MOST_INSTANCES = 12


class Originals(Protocol):
    """The data sets' own images, where they are at hand."""

    def image(self, record: RunRecord, split: str, index: int) -> np.ndarray | None:
        """The image, (C, H, W), uint8; None where it is not to be had."""

    def class_names(self, record: RunRecord) -> Sequence[str]:
        """The names of the run's classes; empty where they are not to be had."""


@dataclass(frozen=True)
class Explorer:
    """data: what the page's script reads, plain numbers, strings, lists and dicts. notes: what was left out."""

    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    """What one run has on single images."""

    record: RunRecord
    curves: Curves
    nearest: Nearest
    instances: Instances


def _source(record: RunRecord) -> _Source:
    margins = curves(record)
    return _Source(record, margins, nearest(record, margins), instances(record))


def explore(
    records: Sequence[RunRecord],
    num_images: int,
    originals: Originals,
    say: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Explorer:
    """The first `num_images` images of each run: those with nearest points or instances kept, class by class; `say`
    hears of each run."""
    sources = []
    book = _Pictures(originals)
    shown, left_out = [], 0
    for number, record in enumerate(records):
        say(number, len(records), record.run.name)
        source = _source(record)
        sources.append(source)
        images = _images(source)
        if images.empty:
            continue
        chosen = images.head(num_images).sort_values(IMAGE)
        left_out += len(images) - len(chosen)
        shown.append(
            {
                "name": source.record.run.name,
                "title": _title(source.record),
                "moments": source.curves.moments,
                "classes": [str(name) for name in originals.class_names(source.record)],
                "images": [_image(source, book, row.split, row.index, row.label) for row in chosen.itertuples(False)],
            }
        )
    return Explorer({"runs": shown, "pictures": book.uris} if shown else {}, _notes(records, sources, shown, left_out))


def _images(source: _Source) -> pd.DataFrame:
    """All images of a run, those first that there is most to see of: columns split, index, label."""
    parts = [(source.nearest.images(), 4), (source.instances.images(), 2), (source.curves.images(), 1)]
    named = below([part.assign(worth=worth) for part, worth in parts], [*IMAGE, "label", "worth"])
    images = named.groupby(IMAGE, sort=True).agg(label=("label", "max"), worth=("worth", "sum")).reset_index()
    # the n-th of each class before the n+1-th of any
    images["turn"] = images.groupby(["worth", "label", "split"]).cumcount()
    order = images.assign(worth=-images["worth"])
    return order.sort_values(["worth", "turn", "label", "split"], kind="stable")[[*IMAGE, "label"]]


def _image(source: _Source, book: _Pictures, split: str, index: int, label: int) -> dict[str, Any]:
    original = book.originals.image(source.record, split, index)
    found = source.instances.of(split, index)
    return {
        "split": split,
        "index": int(index),
        "label": int(label),
        "picture": book.place(source.record, split, index, original),
        **source.curves.of(split, index),
        "nearest": [_pictured(row, original) for row in source.nearest.of(split, index)],
        "instances": [_pictured(row, original) for row in found[:MOST_INSTANCES]],
        "further_instances": max(len(found) - MOST_INSTANCES, 0),
    }


def _pictured(row: dict[str, Any], original: np.ndarray | None) -> dict[str, Any]:
    """`row` with its array `point` as a picture, and as the difference from its image, which it may bring itself."""
    point, image = row.pop("point", None), row.pop("image", original)
    if point is None or not is_picture(point):
        return row
    row["point"] = picture(point)
    if image is not None and image.shape == point.shape:
        row["difference"] = difference(point, image)
    return row


class _Pictures:
    """The data sets' own images as data URIs, each once however many runs have it."""

    def __init__(self, originals: Originals) -> None:
        self.originals = originals
        self.uris: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def place(self, record: RunRecord, split: str, index: int, image: np.ndarray | None) -> str:
        """Where in `uris` the image is; empty where there is none."""
        if image is None or not is_picture(image):
            return ""
        uri = picture(image)
        key = self._keys.setdefault(uri, f"{record.identity['dataset']} {split} {index} {len(self._keys)}")
        self.uris[key] = uri
        return key


def _title(record: RunRecord) -> str:
    about = record.identity
    study = "" if about["study"] == "main" else f", {about['study']}"
    return f"{about['dataset']}, {about['arch']}, {about['training']}{study}, seed {about['seed']}"


def _notes(
    records: Sequence[RunRecord], sources: Sequence[_Source], shown: Sequence[dict[str, Any]], left_out: int
) -> list[str]:
    """One sentence each on what is not there."""
    notes = []
    if left_out:
        notes.append(
            f"{left_out} further images of these runs are left out: num_images=<number> sets how many are shown."
        )
    if len(shown) < len(records):
        notes.append(f"{len(records) - len(shown)} of {len(records)} runs have no table of single images.")
    if shown and not any(source.nearest.points for source in sources):
        notes.append(
            "No run keeps boundary points, hence margins are numbers alone: "
            "bdry margin run=<run> check=[walk] keep_points=20 keeps them."
        )
    notes += [note for source in sources for note in (*source.nearest.notes, *source.instances.notes)]
    return notes
