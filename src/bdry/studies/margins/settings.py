"""`probe=[margin]` and `bdry margin`: distances of images to the decision boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from ...errors import ConfigError
from ...names import NORMS, SPLITS
from ...settings.margin import Margin, refuse_own
from ...settings.options import ESTIMATORS, option, schema
from ...settings.probe import Probe
from ...settings.run_task import RunTask


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
class MarginConfig(Distances, RunTask):
    """The whole config of `bdry margin`."""

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

    def check_together(self) -> None:
        """Points are of the nearest other class; no estimator is checked against itself."""
        if self.batch_size != "auto" and (isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int)):
            raise ConfigError("batch_size", self.batch_size, "must be a whole number or auto")
        if self.keep_points is not None and self.towards is not None:
            raise ConfigError("keep_points", self.keep_points, "goes with towards=null, the nearest other class")
        refuse_own("check", self.check, self.margin)
