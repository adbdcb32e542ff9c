"""What figures call the classes of a run: by the names that its data set has for them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ..names import harmless
from ..runs import RunRecord

# torchvision's names, for runs whose provenance does not say them
KNOWN = {
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
LONGEST = 14
# up to so many letters a name stands below an axis as it is, longer ones are turned
UPRIGHT = 2


def class_names(record: RunRecord, number: int) -> list[str]:
    """The names of the classes 0 ... number - 1 as figures write them; a class whose name is not known is its number.

    Args:
        record: of the run; what it began with says the names.
        number: how many.
    """
    starts = record.run.starts()
    told = starts[-1].get("classes") if starts and isinstance(starts[-1], dict) else None
    if not isinstance(told, list):
        dataset = record.config["dataset"]
        every = KNOWN.get(str(dataset["name"]), ())
        chosen = dataset.get("classes") or range(len(every))
        told = [every[label] for label in chosen if isinstance(label, int) and 0 <= label < len(every)]
    names = [_short(name) if harmless(name) else str(label) for label, name in enumerate(told[:number])]
    return [*names, *map(str, range(len(names), number))]


def _short(name: str) -> str:
    # a dollar sign would begin mathematics
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")


def name_axes(axes: Axes, names: Sequence[str]) -> None:
    """Marks the cells 0, 1, ... of both axes of a picture with the names of classes."""
    long = max(map(len, names)) > UPRIGHT
    axes.set_xticks(range(len(names)), names, rotation=90 if long else 0)
    axes.set_yticks(range(len(names)), names)
    if long:
        axes.tick_params(labelsize=7)
