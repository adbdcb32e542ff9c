"""The images of runs' data sets for the report, as far as these are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..data import Dataset
from ..errors import BdryError
from ..runs import RunRecord
from ..settings import Dataset as DatasetConfig
from .build import build_dataset
from .open_run import stored_config


@dataclass
class LoadedImages:
    """Each data set loaded once, whole: a run's tables name images of any part of it.

    missing: by data set, why one could not be loaded.
    """

    missing: dict[str, str] = field(default_factory=dict)
    _datasets: dict[str, Dataset] = field(default_factory=dict)
    _of_run: dict[Path, tuple[Dataset, Sequence[str]] | None] = field(default_factory=dict)

    def image(self, record: RunRecord, split: str, index: int) -> np.ndarray | None:
        """The image, (C, H, W), uint8; None where its data set is not here or has no such image."""
        found = self._look(record)
        whole = found[0].splits().get(split) if found else None
        if whole is None or not (place := (whole.index == index).nonzero()).numel():
            return None
        return whole.images[place[0, 0]].numpy()

    def class_names(self, record: RunRecord) -> Sequence[str]:
        """The names of the run's classes; empty where its data set is not here."""
        found = self._look(record)
        return found[1] if found else ()

    def _look(self, record: RunRecord) -> tuple[Dataset, Sequence[str]] | None:
        path = record.run.path
        if path not in self._of_run:
            try:
                self._of_run[path] = self._load(stored_config(record.run).dataset)
            except (BdryError, OSError) as error:
                self._of_run[path] = None
                self.missing[record.identity["dataset"]] = str(error)
        return self._of_run[path]

    def _load(self, config: DatasetConfig) -> tuple[Dataset, Sequence[str]]:
        whole = replace(
            config, classes=None, num_train=None, num_test=None, first=None, train_indices=None, test_indices=None
        )
        if repr(whole) not in self._datasets:
            self._datasets[repr(whole)] = build_dataset(whole, torch.device("cpu"))
        dataset = self._datasets[repr(whole)]
        chosen = dataset if config.classes is None else dataset.restricted(config.classes)
        return dataset, chosen.class_names
