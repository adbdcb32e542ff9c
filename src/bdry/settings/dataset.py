"""`dataset=`: which images, which classes, how many."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from ..errors import ConfigError
from .options import option, schema


@dataclass
class Budget:
    """A projected-gradient attack's budget in one norm."""

    eps: float = option(0.05, "radius of the ball", unit="pixel units of [0, 1]", ge=0)
    step_size: float = option(0.0125, "length of a step", unit="pixel units of [0, 1]", gt=0)
    steps: int = option(10, "steps", ge=1, le=1_000_000)


@dataclass
class Budgets:
    """The data set's usual PGD budgets, which `adv=pgd` and the robust accuracy take where no other is given."""

    linf: Budget = field(default_factory=Budget)
    l2: Budget = field(default_factory=lambda: Budget(eps=0.2, step_size=0.05))


@schema("dataset", "base")
@dataclass
class Dataset:
    """What every data set has."""

    name: str = option(MISSING, "the data set")
    classes: list[int] | None = option(
        None, "keep these classes only, relabelled 0, 1, ... in this order", ge=0, passed=False
    )
    num_train: int | None = option(None, "size of a class-balanced training subset; null: all", ge=1, passed=False)
    num_test: int | None = option(None, "size of a class-balanced test subset; null: all", ge=1, passed=False)
    subset_seed: int = option(0, "seed of the choice of subsets", ge=0, passed=False)
    pgd: Budgets = field(default_factory=Budgets, metadata={"passed": False})

    def check_together(self) -> None:
        """Two or more different classes, if any are chosen."""
        if self.classes is not None and len(self.classes) < 2:
            raise ConfigError("classes", self.classes, "needs at least two different classes, as in [1,2]")


@schema("dataset", "torchvision")
@dataclass
class Torchvision(Dataset):
    """A data set read through torchvision."""

    root: str = option(MISSING, "folder of the data sets, laid out as torchvision does", science=False)
    download: bool = option(True, "fetch the files that are missing", science=False)


@schema("dataset", "toy")
@dataclass
class Toy(Dataset):
    """Points in the unit square, held as 1x1x2 images."""

    num_points: int = option(3000, "points drawn, a third of them for the test split", ge=6, le=10_000_000)
    noise: float = option(0.05, "standard deviation around the shape", unit="side of the unit square", ge=0)
    seed: int = option(0, "seed of the points", ge=0)


@schema("dataset", "gap")
@dataclass
class Gap(Toy):
    """Two classes on both sides of a gap."""

    noise: float = option(0.0, "standard deviation around the shape", unit="side of the unit square", ge=0)
    margin: float = option(0.1, "half the width of the gap", unit="side of the unit square", ge=0, lt=0.2)


@schema("dataset", "blobs")
@dataclass
class Blobs(Toy):
    """Gaussian blobs."""

    num_classes: int = option(3, "how many blobs, on a circle around the middle", ge=2, le=1000)
