"""`probe=[margin]` and `bdry margin`: distances of images to the decision boundary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from ...errors import ConfigError
from ...names import NORMS, SPLITS
from ...settings.arch import Arch, Preprocessing, check_function
from ...settings.dataset import Dataset
from ...settings.groups import ESTIMATORS
from ...settings.margin import Margin, refuse_own
from ...settings.optim import Optim
from ...settings.options import option, schema
from ...settings.probe import Probe
from ...settings.run_task import Checkpoints, Machine


@dataclass
class Distances:
    """Which distances are measured."""

    norms: list[str] = option(["l2", "linf"], "norms to measure in", choices=NORMS)
    clipped: list[bool] = option([False], "false: distance in R^d; true: inside the [0, 1] box; both: [false,true]")


@dataclass
class MarginSettings(Distances):
    """Distances of a fixed set of images while the network trains."""

    num_train: int = option(250, "training images, class-balanced, the same at every moment", unit="images", ge=0)
    num_test: int = option(250, "test images, class-balanced, the same at every moment", unit="images", ge=0)
    batch_size: int = option(128, "images at a time", ge=1)
    beside: list[str] | None = option(
        None,
        "further estimators of the same images at the same moments, as in [walk], with their defaults; null: none",
        choices=ESTIMATORS,
        later=True,
    )


@schema("probe", "margin")
@dataclass
class MarginProbeConfig(MarginSettings, Probe):
    """Distances of a fixed set of images."""


@dataclass
class MarginConfig(Distances, Machine, Checkpoints):
    """The whole config of `bdry margin`."""

    run: str | None = option(
        None, "a run's folder, outputs/runs/<name>/seed=<n>; it brings its data set", science=False
    )
    classifier: str | None = option(
        None, "instead of a run, my_module:build: a function without arguments that gives an nn.Module", science=False
    )
    weights: str | None = option(None, "safetensors file of that module's state dict", science=False)
    dataset: Dataset | None = option(None, "that module's data set; it sees images in [0, 1]")
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata={"later": True})
    margin: Margin = MISSING
    check: list[str] = option(
        [],
        "estimators that measure the same images again, as in [walk,fab]",
        choices=ESTIMATORS,
        may_be_empty=True,
    )
    splits: list[str] = option(["train", "test"], "splits to measure", choices=SPLITS)
    num_train: int | None = option(
        250, "training images, class-balanced, the same as in training; null: all", unit="images", ge=1
    )
    num_test: int | None = option(
        250, "test images, class-balanced, the same as in training; null: all", unit="images", ge=1
    )
    classes: list[int] | None = option(None, "only images of these labels; null: all", ge=0)
    towards: int | None = option(
        None, "measure the distance to the region of this class; null: to the nearest other class", ge=0
    )
    keep_points: int | None = option(
        None,
        "keep the boundary points of so many of each split's images at the last checkpoint, as arrays for bdry report",
        unit="images",
        ge=1,
        le=256,
        later=True,
    )
    batch_size: Any = option("auto", "images at a time; auto: 512; halved where memory runs out", ge=1)
    compile: bool = option(False, "compile the network with torch.compile: for long measurements", science=False)
    outputs: str = option("outputs", "with classifier=: results go to <outputs>/measurements", science=False)
    # a data set's YAML chooses these for training (an override in its defaults list), and it serves here too
    arch: Arch | None = option(None, "not used", science=False, hidden=True)
    optim: Optim | None = option(None, "not used", science=False, hidden=True)

    def check_together(self) -> None:
        """One classifier, given by a run or by a function."""
        if (self.run is None) == (self.classifier is None):
            raise ConfigError("run", self.run, "give either run=<folder> or classifier=<module>:<function>")
        if self.run is not None:
            for key in ("weights", "dataset"):
                node = getattr(self, key)
                if node is not None:
                    raise ConfigError(key, getattr(node, "name", node), "goes with classifier=; a run brings its own")
            if self.preprocessing.mean is not None:
                problem = "goes with classifier=; a run's network has its own"
                raise ConfigError("preprocessing.mean", self.preprocessing.mean, problem)
        elif self.dataset is None:
            raise ConfigError("dataset", None, "must be given with classifier=, as in dataset=mnist")
        if self.classifier is not None:
            check_function("classifier", self.classifier)
        if self.classifier is not None and self.checkpoint != "last":
            raise ConfigError("checkpoint", self.checkpoint, "goes with run=; a module's weights are weights=<file>")
        if self.batch_size != "auto" and (isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int)):
            raise ConfigError("batch_size", self.batch_size, "must be a whole number or auto")
        if self.keep_points is not None and self.towards is not None:
            raise ConfigError("keep_points", self.keep_points, "goes with towards=null, the nearest other class")
        refuse_own("check", self.check, self.margin)
