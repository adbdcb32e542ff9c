"""`bdry train`: the whole config of one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from ..errors import ConfigError
from ..names import LONGEST_NAME, LOSSES, NORMS, harmless
from .adv import Adv
from .arch import Arch, Preprocessing
from .dataset import Dataset
from .margin import Margin, refuse_own
from .optim import Optim
from .options import option
from .probe import Moments, Probe
from .run_task import Machine


@dataclass
class Training:
    """How long, on what, from which seeds."""

    epochs: int = option(20, "passes over the training split", ge=0, le=1_000_000)
    batch_size: int = option(64, "images for each step", ge=1, le=10_000_000)
    overlap: int | None = option(
        None,
        "images of the next batch that a batch has besides its own; null: none; karimi2020's code has 36",
        unit="images",
        ge=1,
        le=10_000_000,
        later=True,
    )
    loss: str | None = option(
        None,
        "what is minimised; hinge: the multi-class hinge loss; squared_error: of one-hot labels; null: cross_entropy",
        choices=LOSSES,
        later=True,
    )
    label_smoothing: float = option(0.0, "label smoothing of the cross-entropy", ge=0, lt=1)
    loss_scaled: bool | None = option(
        None, "true: steps proportional to 1 / loss, which go on where the loss has come close to 0", later=True
    )
    crop_padding: int = option(0, "augmentation: random crop after padding by this much", unit="pixels", ge=0, le=1024)
    flip: bool = option(False, "augmentation: random horizontal flip")
    init_seed: int | None = option(None, "seed of the initial weights; null: seed", ge=0)
    data_seed: int | None = option(None, "seed of data order and augmentation; null: seed", ge=0)
    checkpoint_minutes: float = option(
        5.0, "also save for resuming this often within an epoch", unit="minutes", gt=0, science=False
    )


@dataclass
class Evaluation:
    """What goes into the table history: loss, accuracy, and accuracy under a PGD stronger than training's."""

    max_images: int = option(10000, "images of each split at most, class-balanced", ge=1)
    robust_images: int = option(250, "test images attacked; 0 leaves robust accuracy out", ge=0)
    norm: str | None = option(None, "norm of the attack; null: training's, or linf", choices=NORMS)
    eps: float | None = option(None, "radius; null: training's, or the data set's", unit="pixel units of [0, 1]", ge=0)
    steps: int = option(40, "steps of 2.5 eps / steps each", ge=1, le=1_000_000)
    restarts: int = option(2, "random starts for each image", ge=1, le=1_000_000)


@dataclass
class TrainConfig(Machine):
    """The whole config of one run."""

    dataset: Dataset = MISSING
    arch: Arch = MISSING
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata={"later": True})
    adv: Adv = MISSING
    optim: Optim = MISSING
    margin: Margin = MISSING
    probe: dict[str, Probe] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    moments: Moments = field(default_factory=Moments)
    paper: str | None = option(None, "the preset of a paper's study that was chosen", science=False, hidden=True)
    scale: str | None = option(None, "how large a preset is", science=False, hidden=True)
    study: str = option("", "label for figures and claims: the part of a study; empty: main", science=False)
    seed: int = option(0, "seed of everything random in training", ge=0, science=False)
    precision: str = option("fp32", "arithmetic of training; measurements are always fp32", choices=("fp32", "bf16"))
    logger: str = option(
        "csv",
        "where numbers and figures go beside the tables; csv: nowhere",
        choices=("csv", "tensorboard", "wandb", "mlflow"),
        science=False,
    )
    outputs: str = option("outputs", "folder of runs, sweeps and figures", science=False)
    published: str = option(
        "", "a publication, as in docs/results/li2018: what it has of this run is taken from there", science=False
    )

    def check_together(self) -> None:
        """A label is no formula; a preset has a part and a scale; no estimator is beside itself; PGD needs training."""
        if not harmless(self.study):
            raise ConfigError("study", self.study, "a label has no control characters, and no formula of a spreadsheet")
        for key, name in (("study", self.study), ("arch.build", getattr(self.arch, "build", None) or "")):
            if len(name) > LONGEST_NAME:
                raise ConfigError(key, f"{name[:20]}...", f"has more than {LONGEST_NAME} letters")
        if self.paper is not None and "/" not in self.paper:
            raise ConfigError("paper", self.paper, f"needs a part of the study, as in paper={self.paper}/<name>")
        if (self.paper is None) != (self.scale is None):
            missing, given = ("scale", "paper") if self.scale is None else ("paper", "scale")
            choices = "scale=smoke, cpu, full or paper" if missing == "scale" else "paper=<preset>"
            raise ConfigError(given, getattr(self, given), f"goes with {choices}")
        if self.training.loss not in (None, "cross_entropy"):
            for key in ("loss_scaled", "label_smoothing"):
                if getattr(self.training, key):
                    problem = f"goes with training.loss=cross_entropy, not {self.training.loss}"
                    raise ConfigError(f"training.{key}", getattr(self.training, key), problem)
        if self.training.loss_scaled and self.training.label_smoothing > 0:
            raise ConfigError(
                "training.loss_scaled", True, "needs training.label_smoothing=0: a smoothed loss does not come near 0"
            )
        for name, node in self.probe.items():
            refuse_own(f"probe.{name}.beside", getattr(node, "beside", None), self.margin)
        if self.training.epochs == 0 and self.adv.name != "none":
            raise ConfigError("training.epochs", 0, f"adv={self.adv.name} has no effect without training")
