"""The settings of this package's options: types, defaults, bounds and help."""

from dataclasses import dataclass

from bdry.settings import Dataset, Margin, option, schema
from bdry.settings.arch import Network
from bdry.settings.probe import Probe


@schema("dataset", "stripes")
@dataclass
class Stripes(Dataset):
    """Striped images."""

    num_images: int = option(600, "images drawn, a third of them for the test split", ge=12)
    noise: float = option(0.1, "standard deviation of each pixel", unit="pixel units of [0, 1]", ge=0)
    seed: int = option(0, "seed of the images", ge=0)


@schema("arch", "onehidden")
@dataclass
class OneHidden(Network):
    """One hidden layer."""

    width: int = option(100, "width of the hidden layer", ge=1)


@schema("margin", "downhill")
@dataclass
class Downhill(Margin):
    """Along the gradient."""

    steps: int = option(20, "times that the distance is doubled at most", ge=1)


@schema("probe", "confidence")
@dataclass
class Confidence(Probe):
    """How sure the classifier is."""

    num_images: int = option(100, "images of each split, class-balanced", unit="images", ge=1)
