"""`probe=[svm]` and `bdry svm`: the last layer against the linear SVMs on its features."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ...settings.options import option, schema
from ...settings.probe import Probe
from ...settings.run_task import LastLayerTask

VARIANTS = ("S1", "S2", "S3", "paper", "hard_ovr", "soft")
STAGES = ("whole", "last_only", "last_only_loss_scaled", "accelerated")


@dataclass
class SvmSettings:
    """Which features, which SVMs (arXiv 1808.05385; docs/papers/li2018.md)."""

    num_train: int | None = option(None, "training images, class-balanced; null: all", unit="images", ge=2)
    num_test: int | None = option(None, "test images, class-balanced; null: all", unit="images", ge=1)
    variants: list[str] = option(
        ["S1", "S3", "paper"],
        "hard-margin SVMs: S1 bias penalised (the limit of gradient descent), S2 none, S3 free; paper: SVC for two "
        "classes, one-vs-rest for more, as the authors called them; hard_ovr; soft: S1 with slack, C=1 on features "
        "over their rms norm, for what nothing separates",
        choices=VARIANTS,
    )
    gap: float = option(1e-6, "1 - margin / proven bound at which a solver stops", gt=0, lt=1)
    max_work: float = option(
        20.0,
        "for each SVM where no layer is known to separate the images; what it ends without is status=unresolved. "
        "Counted, not timed: a busy machine changes nothing; about as many seconds of one core at most",
        unit="1e9 operations",
        gt=0,
    )
    num_grid_points: int = option(
        30000, "points of the feature space at which labels are compared", ge=2, le=100_000_000
    )
    grid_seed: int = option(100, "seed of these points", ge=0)
    map_resolution: int = option(
        201, "points along a side of maps, where there are two features or pixels; 0: none", ge=0, le=10_000
    )
    batch_size: int = option(1000, "images at a time", ge=1)

    def check_together(self) -> None:
        """S1 is always there."""
        if "S1" not in self.variants:
            raise ConfigError("variants", self.variants, "must have S1, which everything is measured by")


@schema("probe", "svm")
@dataclass
class SvmProbeConfig(SvmSettings, Probe):
    """The last layer against linear SVMs in training."""


@dataclass
class StageSettings:
    """How the last layer is trained on, if at all, its features frozen."""

    stage: str = option(
        "whole",
        "whole: the network as it is; else its last layer is trained on, features frozen: last_only (momentum steps), "
        "last_only_loss_scaled, accelerated",
        choices=STAGES,
    )
    study: str | None = option(
        None,
        "bias: a fresh last layer trained on frozen features, as the run was and by loss-scaled steps, on features as "
        "they are and rescaled (arXiv 1808.05385, README; made fair)",
        choices=("bias",),
    )
    fresh: bool = option(False, "a stage begins at a fresh last layer instead of the trained one")
    steps: int = option(3000, "full-batch steps of a stage at most", ge=1)
    num_checkpoints: int = option(12, "checkpoints of a stage, log-spaced", ge=4, le=100_000)
    stop_degrees: float = option(1.0, "a stage ends at this angle to S1", unit="degrees", gt=0)
    lr: float | None = option(None, "learning rate of a stage; null: its own choice", gt=0)
    momentum: float = option(0.9, "momentum of last_only; 0: gradient descent", ge=0, lt=1)
    seed: int = option(0, "seed of fresh last layers and of their batches", ge=0)

    def check_together(self) -> None:
        """A study has its own stages; a fresh layer has to be trained."""
        if self.study is not None and self.stage != "whole":
            raise ConfigError("stage", self.stage, f"study={self.study} has its own stages; give one of the two")
        if self.fresh and self.stage == "whole":
            raise ConfigError("fresh", True, "needs a stage that trains the last layer, as in stage=accelerated")


@dataclass
class SvmConfig(SvmSettings, StageSettings, LastLayerTask):
    """The whole config of `bdry svm`."""

    def check_together(self) -> None:
        """A study has the SVMs that it compares."""
        if self.study is not None and "S3" not in self.variants:
            raise ConfigError("variants", self.variants, f"study={self.study} needs S3 as well")
