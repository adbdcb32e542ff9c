"""A classifier of the user's own: imported by name, filled from safetensors, checked on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..core.moment import Moment
from ..data import Dataset
from ..errors import ConfigError
from ..runs import Measurement
from ..runs.checkpoint import load_weights
from .classifier_check import UnmeasurableError, check_classifier
from .digests import code_digest, weights_digest
from .own_function import call, first_line

NUM_TRIED = 64


@dataclass(frozen=True)
class OwnModule:
    """The module that `<module>:<function>` builds, ready to be measured, as a single moment, step 0.

    notes: what its user should know of it. code, weights: digests of its source files and of its state dict.
    """

    name: str
    outputs: str
    dataset: Dataset
    data_seed: int
    module: nn.Module
    notes: Sequence[str]
    code: str
    weights: str
    moments: Sequence[Moment] = (Moment(0, 0.0),)

    @property
    def title(self) -> str:
        """Data set and function."""
        return f"{self.dataset.name}, {self.name}"

    @property
    def identity(self) -> dict[str, Any]:
        """Code, weights and images: wherever these come from, the same ones have the same margins."""
        return {"code": self.code, "weights": self.weights, "data": self.dataset.checksums()}

    @property
    def origin(self) -> dict[str, Any]:
        """Code and weights."""
        return {"code_sha256": self.code, "weights_sha256": self.weights}

    def load(self, step: int) -> nn.Module:
        """The module."""
        return self.module

    def folder(self, command: str, settings: dict[str, Any]) -> Measurement:
        """Below `outputs`."""
        return Measurement.of_module(self.outputs, self.name, {"command": command, **settings})


def open_module(
    name: str, weights: str | None, dataset: Dataset, data_seed: int, outputs: str, normalise: nn.Module | None = None
) -> OwnModule:
    """The module that `<module>:<function>` builds, on the data set's device, in eval mode.

    normalise: goes before it, once the weights are in; None: it sees the images as they are.

    Raises:
        ConfigError: no such module or function, or what it gives is not a classifier that can be measured.
        RunError: the weights are missing, no safetensors file, or do not fit.
    """
    module, source = call("classifier", name)
    if weights is not None:
        load_weights(Path(weights).expanduser(), module)
    if normalise is not None:
        module = nn.Sequential(normalise, module)
    try:
        module = module.to(dataset.train.labels.device).eval()
    except (Exception, SystemExit) as error:
        raise ConfigError("classifier", name, f"its eval() failed ({first_line(error)})") from None
    tried = dataset.test.balanced(NUM_TRIED, data_seed)
    called = f"images of {'x'.join(map(str, dataset.image_shape))} from {dataset.name}"
    try:
        measurable, notes = check_classifier(module, tried.pixels(), dataset.num_classes, called=called)
    except UnmeasurableError as error:
        raise ConfigError("classifier", name, str(error)) from None
    code = code_digest(source, module) or ""
    return OwnModule(name, outputs, dataset, data_seed, measurable, notes, code, weights_digest(module.state_dict()))
