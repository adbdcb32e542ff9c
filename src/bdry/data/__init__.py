"""Data sets: named splits of images on the device, each image with an index that names it for ever."""

from ..registry import import_siblings
from .dataset import DATASETS, Dataset, Split

import_siblings(__name__, __path__)

__all__ = ["DATASETS", "Dataset", "Split"]
