"""A classifier of the user's own: imported by name, filled from safetensors, checked on images."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..core.moment import Moment
from ..core.seeds import derive, seeded_globally
from ..data import Dataset
from ..errors import ConfigError, did_you_mean
from ..runs import Measurement
from ..runs.checkpoint import load_weights
from .classifier_check import UnmeasurableError, check_classifier
from .digests import code_digest, weights_digest

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


def open_module(name: str, weights: str | None, dataset: Dataset, data_seed: int, outputs: str) -> OwnModule:
    """The module that `<module>:<function>` builds, on the data set's device, in eval mode.

    Raises:
        ConfigError: no such module or function, or what it gives is not a classifier that can be measured.
        RunError: the weights are missing, no safetensors file, or do not fit.
    """
    function = _function(name)
    try:
        # a module without weights of its own is the same at every start
        with seeded_globally(derive(0, "init")):
            module = function()
    except (Exception, SystemExit) as error:
        raise ConfigError("classifier", name, f"calling it failed ({_first_line(error)})") from None
    if not isinstance(module, nn.Module):
        raise ConfigError("classifier", name, f"gives a {type(module).__name__}, not a torch.nn.Module")
    if weights is not None:
        load_weights(Path(weights).expanduser(), module)
    try:
        module = module.to(dataset.train.labels.device).eval()
    except (Exception, SystemExit) as error:
        raise ConfigError("classifier", name, f"its eval() failed ({_first_line(error)})") from None
    tried = dataset.test.balanced(NUM_TRIED, data_seed)
    called = f"images of {'x'.join(map(str, dataset.image_shape))} from {dataset.name}"
    try:
        measurable, notes = check_classifier(module, tried.pixels(), dataset.num_classes, called=called)
    except UnmeasurableError as error:
        raise ConfigError("classifier", name, str(error)) from None
    code = code_digest(function.__module__, module)
    return OwnModule(name, outputs, dataset, data_seed, measurable, notes, code, weights_digest(module))


def _function(name: str) -> Callable[[], object]:
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and module_name.startswith(str(error.name)):
            problem = f"there is no module {error.name} here or on the Python path"
        else:
            problem = f"importing {module_name} failed ({_first_line(error)})"
        raise ConfigError("classifier", name, problem) from None
    found = getattr(module, function_name, None)
    if callable(found):
        return found
    if hasattr(module, function_name):
        problem = f"{function_name} of {module_name} is a {type(found).__name__}, not a function that gives a module"
    else:
        functions = [key for key, value in vars(module).items() if not key.startswith("_") and callable(value)]
        problem = f"{module_name} has no function {function_name}{did_you_mean(function_name, functions)}"
    raise ConfigError("classifier", name, problem)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
