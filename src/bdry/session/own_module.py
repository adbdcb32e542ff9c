"""A classifier of the user's own: imported by name, filled from its weights, checked on images."""

from __future__ import annotations

import copy
import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.moment import Moment
from ..data import Dataset
from ..errors import ConfigError
from ..models import Classifier, head_of
from ..runs import Measurement, Run, RunRecord
from ..runs.checkpoint import load_weights
from ..settings.run_task import LastLayerTask, RunTask
from .classifier_check import UnmeasurableError, check_classifier, in_a_line
from .digests import code_digest, settings_digest, weights_digest
from .own_function import call


def weights_by_step(named: str | Sequence[str] | None) -> dict[int, Path | None]:
    """The files by the step that the number in their names says, in order; one file, or none, is step 0.

    Several names may differ in one number alone, as `ckpt-10.pt` and `ckpt-200.pt` do: that number is the step.

    Raises:
        ConfigError: a glob fits no file, or the names leave open which step each file is of.
    """
    if named is None:
        return {0: None}
    files = [path for name in ([named] if isinstance(named, str) else named) for path in _files(name, named)]
    twice = sorted({str(path) for path in files if files.count(path) > 1})
    if twice:
        raise ConfigError("weights", named, f"names {twice[0]} twice")
    if len(files) == 1:
        return {0: files[0]}
    parts = {path: re.split(r"(\d+)", path.stem) for path in files}
    first = parts[files[0]]
    for path, words in parts.items():
        if words[::2] != first[::2] or path.suffix != files[0].suffix:
            raise _unclear(named, f"{files[0].name} and {path.name} differ in more than a number")
    differ = [at for at in range(1, len(first), 2) if len({int(words[at]) for words in parts.values()}) > 1]
    if len(differ) != 1:
        which = "several numbers" if differ else "no number"
        raise _unclear(named, f"{files[0].name} and the others differ in {which}")
    steps: dict[int, Path] = {}
    for path, words in parts.items():
        step = int(words[differ[0]])
        if step in steps:
            raise _unclear(named, f"{steps[step].name} and {path.name} are both of step {step}")
        steps[step] = path
    return dict(sorted(steps.items()))


def _files(name: str, named: str | Sequence[str]) -> list[Path]:
    """One file, or those that fit a glob; a file's name may look like one."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = sorted(Path(match) for match in glob.glob(str(path)))
    if not found:
        raise ConfigError("weights", named, f"no file is named like {name}")
    return found


def _unclear(named: str | Sequence[str], why: str) -> ConfigError:
    return ConfigError("weights", named, f"leaves open which step each file is of: {why}; name files alike but for it")


class WhatTheHeadSees(nn.Module):
    """The input of one layer of a module, (N, F), in the dtype of the images."""

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        self.module, self.head = module, head

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F)."""
        seen: list[Tensor] = []
        layer = self.module.get_submodule(self.head)
        hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.module(x)
        finally:
            hook.remove()
        return seen[-1].to(x.dtype)


def with_head(module: nn.Module, images: Tensor, head: str | None) -> Classifier:
    """The module as a `Classifier`: `forward(x) = head(features(x))`, with a copy of its last linear layer.

    Args:
        module: gives logits, as `check_classifier` lets it pass.
        images: (N, C, H, W), float, on which the layer is looked for.
        head: the layer's name, as `named_modules` has it; None: the linear layer whose outputs are the logits.

    Raises:
        ValueError: there is no such layer, or its outputs are not the logits.
    """
    name = head_of(module, images, head)
    layer = copy.deepcopy(module.get_submodule(name)).to(images.dtype)
    assert isinstance(layer, nn.Linear)
    return Classifier(nn.Identity(), WhatTheHeadSees(module, name), layer).eval()


NUM_TRIED = 64


@dataclass(frozen=True)
class OwnModule:
    """The module that `<module>:<function>` builds, ready to be measured, at one moment, step 0, or several.

    module: as it is measured. inner: what the weights are of. files: by step. head: None: the module is measured as it
    is; else as features and a last linear layer, which has this name or, "", is found. notes: what its user should know
    of it. code: what stands for its code, by default digests of its source files and of its plain attributes.
    weights: digests of its state dicts, in the order of the steps.
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
    def own_code(self) -> tuple[str, str]:
        """The setting that names the function, and the name."""
        return "classifier", self.name

    @property
    def identity(self) -> dict[str, Any]:
        """Code, weights and images: wherever these come from, the same ones have the same margins."""
        several = {"checkpoint_steps": list(self.files)} if len(self.files) > 1 else {}
        weights = self.weights if several else self.weights[0]
        return {"code": self.code, "weights": weights, "data": self.dataset.checksums(), **several}

    @property
    def origin(self) -> dict[str, Any]:
        """Code and weights."""
        return {"code": self.code, "weights_sha256": " ".join(self.weights)}

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


def open_module(config: RunTask, dataset: Dataset, data_seed: int, normalise: nn.Module | None = None) -> OwnModule:
    """The module that `classifier=<module>:<function>` builds, on the data set's device, in eval mode.

    Where the study is of the last layer (`LastLayerTask`), it is given as features and that layer.

    normalise: goes before it, once the weights are in; None: it sees the images as they are.

    Raises:
        ConfigError: no such module or function, or what it gives is not a classifier that can be measured.
        RunError: weights are missing, no state dict, or do not fit.
    """
    name = str(config.classifier)
    files = weights_by_step(config.weights)
    own, source = call("classifier", name)
    # before anything has looked at it, which may count its looks
    with in_a_line(lambda said: ConfigError("classifier", name, f"its parts cannot be listed ({said})")):
        code = config.code or f"{code_digest(source, own)} {settings_digest(own)}"
    module = own if normalise is None else nn.Sequential(normalise, own)
    tried = dataset.test.balanced(NUM_TRIED, data_seed)
    called = f"images of {'x'.join(map(str, dataset.image_shape))} from {dataset.name}"
    measurable, notes, weights = module, list[str](), list[str]()
    for step, file in files.items():
        _fill(own, file)
        with in_a_line(lambda said: ConfigError("classifier", name, f"its eval() failed ({said})")):
            module = module.to(dataset.train.labels.device)
            # an eval() of the user's own may give nothing back
            module.eval()
        try:
            found, said = check_classifier(module, tried.pixels(), dataset.num_classes, called=called)
        except UnmeasurableError as error:
            at = f"at step {step} it " if len(files) > 1 else ""
            raise ConfigError("classifier", name, f"{at}{error}") from None
        # what stands between the module and its images in one moment does so in all
        measurable = found if found is not module else measurable
        notes += [note for note in said if note not in notes]
        with in_a_line(lambda said: ConfigError("classifier", name, f"its state_dict() failed ({said})")):
            weights.append(weights_digest(module.state_dict()))
    head = (config.head or "") if isinstance(config, LastLayerTask) else None
    return OwnModule(name, config.outputs, dataset, data_seed, measurable, own, files, head, notes, code, weights)


def _fill(module: nn.Module, file: Path | None) -> None:
    if file is not None:
        load_weights(file, module)
