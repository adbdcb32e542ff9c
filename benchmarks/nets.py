"""The networks that `margins.py` and `certified.py` compare on, trained once and kept below benchmarks/.cache/.

All take images in [0, 1] and normalise inside, so that every distance is in pixel units. The MLP and the CNN are plain
torch: 269,322 and 857,738 parameters. `robust` is the CNN trained on PGD examples; `residual`, of `certified.py` alone,
has three residual blocks with batch-norm (19,754 parameters); `airbench` is our `arch=airbench`
with the widths of recipe=cifar10_small, on CIFAR-10. `digits` is a small MLP on scikit-learn's digits, which need no
download: for trying a benchmark out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bdry.attacks import pgd
from bdry.core.measuring import logits_in_batches
from bdry.core.seeds import generator, seeded_globally
from bdry.data import DATASETS, Split
from bdry.data.dataset import Dataset
from bdry.errors import BdryError
from bdry.models import build_classifier

CACHE = Path(__file__).parent / ".cache"


class Normalise(nn.Module):
    """(x - mean) / std with constants that travel with the weights."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def mlp(mean: list[float], std: list[float]) -> nn.Module:
    """784-256-256-10 with ReLU."""
    return nn.Sequential(
        Normalise(*mean, *std),
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def digits_mlp(mean: list[float], std: list[float]) -> nn.Module:
    """64-32-16-10 with Softplus, which has all derivatives."""
    options = {"widths": [32, 16], "activation": "softplus"}
    return build_classifier("mlp", (1, 8, 8), 10, mean=mean, std=std, seed=0, options=options)


def cnn(mean: list[float], std: list[float]) -> nn.Module:
    """Two 5x5 convolutions (32, 64), each with ReLU and 2x2 max-pooling, then 3136-256-10."""
    return nn.Sequential(
        Normalise(*mean, *std),
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


class Residual(nn.Module):
    """A residual block: two 3x3 convolutions with batch-norm beside the input, or a 1x1 convolution of it."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.beside = nn.Identity() if channels == out and stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.inner(x) + self.beside(x))


def residual(mean: list[float], std: list[float]) -> nn.Module:
    """A 3x3 convolution of stride 2 and three residual blocks, of 8, 16 and 32 channels, then the mean of each."""
    return nn.Sequential(
        Normalise(*mean, *std),
        nn.Conv2d(1, 8, 3, 2, padding=1),
        nn.ReLU(),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        Residual(16, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def airbench(mean: list[float], std: list[float]) -> nn.Module:
    """The fast network for CIFAR-10 of `arch=airbench`."""
    options = {"stem": 24, "widths": [24, 64, 128], "norm": "batch", "activation": "gelu"}
    return build_classifier("airbench", (3, 32, 32), 10, mean=mean, std=std, seed=0, options=options)


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained: Adam, one cycle of the learning rate, in the order of its own draws.

    eps: of the adversarial examples in linf that replace the images, three steps of PGD; 0: the images themselves.
    """

    build: Callable[[list[float], list[float]], nn.Module]
    dataset: str = "fashion_mnist"
    images: int = 60_000
    epochs: int = 5
    rate: float = 2e-3
    eps: float = 0.0
    flip: bool = False


NETS = {
    "mlp": Recipe(mlp),
    "cnn": Recipe(cnn, epochs=3),
    "robust": Recipe(cnn, images=20_000, epochs=5, eps=0.1),
    "residual": Recipe(residual, epochs=3),
    "airbench": Recipe(airbench, "cifar10", images=25_000, epochs=3, rate=5e-3, flip=True),
    "digits": Recipe(digits_mlp, "digits", epochs=10, rate=1e-2),
}


def load(name: str, checkpoint: Path | None = None, device: torch.device | str = "cpu") -> tuple[nn.Module, Dataset]:
    """The network in eval mode with frozen parameters, and its data set; trained first where it is not kept yet.

    checkpoint: of a run, or weights alone, of the same architecture, which are taken instead. device: where both are.
    """
    recipe, path = NETS[name], CACHE / f"net-{name}.safetensors"
    try:
        root = {"root": os.environ.get("BDRY_DATA", "~/.cache/bdry"), "download": False}
        data = DATASETS[recipe.dataset](**({} if recipe.dataset == "digits" else root)).to(torch.device(device))
    except BdryError as error:
        raise SystemExit(f"{name} needs {recipe.dataset} in $BDRY_DATA or ~/.cache/bdry: {error}") from None
    with seeded_globally(0):
        net = recipe.build(*(list(values) for values in data.normalisation())).to(device)
    if checkpoint is not None:
        weights = load_file(checkpoint)
        # a run's checkpoint holds more than its network
        ours = {key: value for key, value in weights.items() if "model." in key} or weights
        net.load_state_dict({key.removeprefix("model."): value for key, value in ours.items()})
    elif path.exists():
        net.load_state_dict(load_file(path))
    else:
        print(f"training {name}", flush=True)
        train(net, recipe, data.train[: recipe.images])
        CACHE.mkdir(exist_ok=True)
        # under another name first: an interrupted save leaves no half file in its place
        partly = path.with_suffix(f".{os.getpid()}")
        save_file({key: value.cpu().contiguous() for key, value in net.state_dict().items()}, partly)
        partly.replace(path)
    return net.eval().requires_grad_(False), data


def train(net: nn.Module, recipe: Recipe, split: Split, batch_size: int = 128) -> None:
    """Trains the network in place."""
    draw = generator(0, "benchmark nets")
    optimiser = torch.optim.Adam(net.parameters())
    steps = recipe.epochs * -(-len(split.labels) // batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(split.labels), generator=draw).split(batch_size):
            batch = split[rows.to(split.labels.device)]
            x = batch.pixels()
            if recipe.flip:
                x = torch.where(torch.rand(len(x), 1, 1, 1, generator=draw).to(x.device) < 0.5, x.flip(3), x)
            if recipe.eps:
                net.eval()
                x = pgd(
                    net, x, batch.labels, norm="linf", eps=recipe.eps, step_size=recipe.eps / 2, steps=3, generator=draw
                ).images
            net.train()
            optimiser.zero_grad()
            F.cross_entropy(net(x), batch.labels).backward()
            optimiser.step()
            cycle.step()


def right_images(net: nn.Module, data: Dataset, count: int) -> tuple[Tensor, Tensor, float]:
    """The first `count` test images that are classified rightly, their labels, and the accuracy on 2,000."""
    test = data.test[:2000]
    right = logits_in_batches(net, test.pixels(), 500).argmax(1) == test.labels
    chosen = test[right.nonzero()[:count, 0]]
    return chosen.pixels(), chosen.labels, float(right.double().mean())
