"""A classifier of the user's own: imported by name, filled from its weights, checked on images."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.moment import Moment
from ..core.seeds import derive, seeded_globally
from ..data import Dataset
from ..errors import ConfigError, did_you_mean
from ..runs import Measurement, Run, RunRecord
from ..runs.checkpoint import load_weights
from ..settings.run_task import LastLayerTask, RunTask
from .classifier_check import UnmeasurableError, check_classifier
from .digests import code_digest, weights_digest
from .own_head import with_head
from .own_weights import weights_by_step

NUM_TRIED = 64


@dataclass(frozen=True)
class OwnModule:
    """The module that `<module>:<function>` builds, ready to be measured, at one moment, step 0, or several.

    module: as it is measured. inner: what the weights are of. files: by step. head: None: the module is measured as it
    is; else as features and a last linear layer, which has this name or, "", is found. notes: what its user should know
    of it. code, weights: digests of its source files and of its state dicts, in the order of the steps.
    """

    name: str
    outputs: str
    dataset: Dataset
    data_seed: int
    module: nn.Module
    inner: nn.Module
    files: Mapping[int, Path | None]
    head: str | None
    notes: Sequence[str]
    code: str
    weights: list[str]

    @property
    def moments(self) -> Sequence[Moment]:
        """Of each file; a step that a name says stands for the epoch too."""
        return [Moment(step, float(step)) for step in self.files]

    @property
    def title(self) -> str:
        """Data set and function."""
        return f"{self.dataset.name}, {self.name}"

    @property
    def identity(self) -> dict[str, Any]:
        """Code, weights and images: wherever these come from, the same ones have the same margins."""
        several = {"checkpoint_steps": list(self.files)} if len(self.files) > 1 else {}
        weights = self.weights if several else self.weights[0]
        return {"code": self.code, "weights": weights, "data": self.dataset.checksums(), **several}

    @property
    def origin(self) -> dict[str, Any]:
        """Code and weights."""
        return {"code_sha256": self.code, "weights_sha256": " ".join(self.weights)}

    def load(self, step: int) -> nn.Module:
        """The module as it was at `step`: always the same object, with other weights."""
        if len(self.files) > 1:
            _fill(self.inner, self.files[step])
        return self.module if self.head is None else self._with_head()

    def _with_head(self) -> nn.Module:
        try:
            return with_head(self.module, self._tried(), self.head or None)
        except ValueError as error:
            raise ConfigError("classifier", self.name, str(error)) from None

    def _tried(self) -> Tensor:
        return self.dataset.test.balanced(NUM_TRIED, self.data_seed).pixels()

    def folder(self, command: str, settings: dict[str, Any]) -> Measurement:
        """Below `outputs`."""
        return Measurement.of_module(self.outputs, self.name, {"command": command, **settings})

    def record(self, folder: Measurement) -> RunRecord:
        """A run of this network that was measured by `folder` alone, so that figures can be drawn of it."""
        about = {"dataset": {"name": self.dataset.name}, "arch": {"name": self.name}, "adv": {"name": "none"}}
        return RunRecord(Run(folder.path / "seed=0"), {**about, "seed": 0}, "finished", folder)


def open_module(config: RunTask, dataset: Dataset, data_seed: int) -> OwnModule:
    """The module that `classifier=<module>:<function>` builds, on the data set's device, in eval mode.

    Where the study is of the last layer (`LastLayerTask`), it is given as features and that layer.

    Raises:
        ConfigError: no such module or function, or what it gives is not a classifier that can be measured.
        RunError: weights are missing, no state dict, or do not fit.
    """
    name = str(config.classifier)
    files = weights_by_step(config.weights)
    function = _function(name)
    try:
        # a module without weights of its own is the same at every start
        with seeded_globally(derive(0, "init")):
            module = function()
    except (Exception, SystemExit) as error:
        raise ConfigError("classifier", name, f"calling it failed ({_first_line(error)})") from None
    if not isinstance(module, nn.Module):
        raise ConfigError("classifier", name, f"gives a {type(module).__name__}, not a torch.nn.Module")
    tried = dataset.test.balanced(NUM_TRIED, data_seed)
    called = f"images of {'x'.join(map(str, dataset.image_shape))} from {dataset.name}"
    measurable, notes, weights = module, list[str](), list[str]()
    for step, file in files.items():
        _fill(module, file)
        try:
            module = module.to(dataset.train.labels.device).eval()
        except (Exception, SystemExit) as error:
            raise ConfigError("classifier", name, f"its eval() failed ({_first_line(error)})") from None
        try:
            found, said = check_classifier(module, tried.pixels(), dataset.num_classes, called=called)
        except UnmeasurableError as error:
            at = f"at step {step} it " if len(files) > 1 else ""
            raise ConfigError("classifier", name, f"{at}{error}") from None
        # what stands between the module and its images in one moment does so in all
        measurable = found if found is not module else measurable
        notes += [note for note in said if note not in notes]
        weights.append(weights_digest(module))
    code = code_digest(function.__module__, module)
    head = (config.head or "") if isinstance(config, LastLayerTask) else None
    return OwnModule(name, config.outputs, dataset, data_seed, measurable, module, files, head, notes, code, weights)


def _fill(module: nn.Module, file: Path | None) -> None:
    if file is not None:
        load_weights(file, module)


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
