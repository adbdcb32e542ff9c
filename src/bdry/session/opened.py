"""A classifier to measure, at one moment or several: what a run's checkpoints and a user's module have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..runs import Measurement, RunRecord


class Opened(Protocol):
    """What a measurement asks of its classifier."""

    @property
    def dataset(self) -> Dataset:
        """The images, on the device."""
        ...

    @property
    def data_seed(self) -> int:
        """Chooses images: runs of different seeds measure the same ones."""
        ...

    @property
    def moments(self) -> Sequence[Moment]:
        """In order."""
        ...

    @property
    def title(self) -> str:
        """What figures call it."""
        ...

    @property
    def own_code(self) -> tuple[str, str] | None:
        """The setting that names the user's own code, and the name; None: it is all bdry's."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the results beside the command's settings."""
        ...

    @property
    def origin(self) -> dict[str, Any]:
        """Further facts for config.yaml."""
        ...

    def load(self, step: int) -> nn.Module:
        """The classifier as it was at the moment of `step`."""
        ...

    def record(self, folder: Measurement) -> RunRecord:
        """The run that figures of what this folder measured are drawn of."""
        ...

    def folder(self, command: str, settings: dict[str, Any]) -> Measurement:
        """Where a command's results go; another for other settings."""
        ...
