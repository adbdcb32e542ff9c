"""What every measuring command takes beside the settings of its study: a run, or a module of the user's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from .arch import Arch, Preprocessing, check_function
from .dataset import Dataset
from .optim import Optim
from .options import option

DEVICES = ("auto", "cpu", "cuda", "mps")
# what goes with classifier=, and means nothing for a run
OF_MODULES = ("weights", "code", "dataset", "head")


@dataclass
class Machine:
    """Where to compute; no result depends on it."""

    device: str = option("auto", "where to compute", choices=DEVICES, science=False)
    threads: int | None = option(
        None,
        "CPU threads; null: all cores (at most OMP_NUM_THREADS), or a worker's share",
        ge=1,
        le=1024,
        science=False,
    )


@dataclass
class Checkpoints:
    """Which of a run's checkpoints are measured."""

    checkpoint: str = option("last", "of the run: last, all (every moment kept), or a step", science=False)

    def check_together(self) -> None:
        """A checkpoint that can be named."""
        if self.checkpoint not in ("last", "all") and not self.checkpoint.isdecimal():
            raise ConfigError("checkpoint", self.checkpoint, "must be last, all, or a step")


@dataclass
class RunTask(Machine, Checkpoints):
    """A run and which of its checkpoints, or a module of the user's own with its weights and data; where to compute."""

    run: str | None = option(
        None, "a run's folder, outputs/runs/<name>/seed=<n>; it brings its data set", science=False
    )
    classifier: str | None = option(
        None, "instead of a run, my_module:build: a function without arguments that gives an nn.Module", science=False
    )
    weights: Any = option(
        None,
        "that module's state dict, .safetensors, .pt or .pth; several, as a list or 'ckpt/*.pt', are measured at the "
        "steps that their names number",
        science=False,
    )
    code: str | None = option(
        None,
        "what stands for that module's code, as a commit's hash: another one is measured anew; null: the hash of its "
        "source files",
        science=False,
    )
    dataset: Dataset | None = option(None, "that module's data set; it sees images in [0, 1]", later=True)
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata={"later": True})
    outputs: str = option("outputs", "with classifier=: results go to <outputs>/measurements", science=False)
    # a data set's YAML chooses these for training (an override in its defaults list), and it serves here too
    arch: Arch | None = option(None, "not used", science=False, hidden=True)
    optim: Optim | None = option(None, "not used", science=False, hidden=True)

    def check_together(self) -> None:
        """One classifier, given by a run or by a function, with what belongs to it."""
        if (self.run is None) == (self.classifier is None):
            raise ConfigError("run", self.run, "give either run=<folder> or classifier=<module>:<function>")
        if self.classifier is None:
            for key in OF_MODULES:
                node = getattr(self, key, None)
                if node is not None:
                    raise ConfigError(key, getattr(node, "name", node), "goes with classifier=; a run brings its own")
            if self.preprocessing.mean is not None:
                problem = "goes with classifier=; a run's network has its own"
                raise ConfigError("preprocessing.mean", self.preprocessing.mean, problem)
            return
        check_function("classifier", self.classifier)
        if self.dataset is None:
            raise ConfigError("dataset", None, "must be given with classifier=, as in dataset=mnist")
        if self.checkpoint != "last":
            raise ConfigError("checkpoint", self.checkpoint, "goes with run=; a module's weights are weights=<file>")
        named = self.weights if isinstance(self.weights, list) else [self.weights]
        if self.weights is not None and not (named and all(isinstance(one, str) and one for one in named)):
            raise ConfigError("weights", self.weights, "must be a file, a glob, or a list of these")


@dataclass
class LastLayerTask(RunTask):
    """As `RunTask`, of a study of the last layer and what it sees."""

    head: str | None = option(
        None, "with classifier=: the name of its last linear layer, as in fc; null: found", later=True
    )
