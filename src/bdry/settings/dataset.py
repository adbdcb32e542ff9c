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
    subset_seed: int | None = option(0, "seed of the choice of subsets; null: the run's seed", ge=0, passed=False)
    first: int | None = option(
        None,
        "keep the first images of each split, by index, instead of balanced subsets",
        ge=1,
        later=True,
        passed=False,
    )
    train_indices: list[int] | None = option(
        None, "keep the training images of these indices", ge=0, later=True, passed=False
    )
    test_indices: list[int] | None = option(
        None, "keep the test images of these indices", ge=0, later=True, passed=False
    )
    pgd: Budgets = field(default_factory=Budgets, metadata={"passed": False})

    def files(self) -> list[str]:
        """The user's own files and folders that the images are in: other contents are another data set."""
        return []

    def check_together(self) -> None:
        """Two or more different classes, if any are chosen."""
        if self.classes is not None and len(self.classes) < 2:
            raise ConfigError("classes", self.classes, "needs at least two different classes, as in [1,2]")
        for split in ("train", "test"):
            keys = (f"num_{split}", "first", f"{split}_indices")
            given = [key for key in keys if getattr(self, key) is not None]
            if len(given) > 1:
                problem = f"chooses {split} images, as {given[0]} does: give one of them"
                raise ConfigError(given[1], getattr(self, given[1]), problem)


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


@schema("dataset", "own")
@dataclass
class Own(Dataset):
    """Images of the user's own."""

    test_fraction: float = option(0.2, "share of every class for testing, where there is no test split", gt=0, lt=1)
    split_seed: int = option(0, "seed of that choice", ge=0)


@schema("dataset", "folder")
@dataclass
class Folder(Own):
    """Image files, a folder for each class."""

    root: str = option(MISSING, "folder of <class>/<image>, or of train/<class>/<image> and test/<class>/<image>")
    channels: str = option("colour", "what the files are converted to", choices=("grey", "colour"))
    size: list[int] | None = option(
        None,
        "resize to [height,width]; null: all have one size",
        unit="pixels",
        ge=1,
        le=65536,
        length=2,
        may_repeat=True,
    )

    def files(self) -> list[str]:
        """The folder."""
        return [self.root]


@schema("dataset", "arrays")
@dataclass
class Arrays(Own):
    """A file of numbers."""

    file: str = option(
        MISSING, ".npz of images and labels, .npy of images, or .csv with a header and a column of labels"
    )
    labels_file: str | None = option(None, "labels of an .npy")
    test_file: str | None = option(None, "the test split, in the same form; null: in the file, or drawn")
    test_labels_file: str | None = option(None, "labels of a test .npy")
    images: str | None = option(None, "name of the images in an .npz; null: a usual one, such as images or x_train")
    labels: str | None = option(None, "name of the labels in an .npz, or their column in a .csv; null: a usual one")
    test_images: str | None = option(None, "name of the test images in an .npz; null: a usual one, if there")
    test_labels: str | None = option(None, "name of the test labels in an .npz; null: a usual one, if there")
    shape: list[int] | None = option(
        None,
        "an image's [channels,height,width]; null: as the array has it",
        ge=1,
        le=65536,
        length=3,
        may_repeat=True,
    )
    class_names: list[str] | None = option(None, "names of the labels in their order; null: the labels themselves")

    def files(self) -> list[str]:
        """All that are given."""
        places = (self.file, self.labels_file, self.test_file, self.test_labels_file)
        return [place for place in places if place is not None]


@schema("dataset", "iris")
@dataclass
class Iris(Dataset):
    """Fisher's irises."""

    setosa_or_not: bool = option(False, "two classes, setosa and the rest; false: three species")
