"""Certified lower bounds beside the best margins known: `python benchmarks/certified.py [--images 8] [--train 20000]`.

The MLP and the CNN of `nets.py`, trained for one epoch on the first Fashion-MNIST images. A row is a method of
`margin=certified`: seconds an image, mean lower bound, and its mean share of the best margin that walk (100 steps),
FMN and APGD found, in the [0, 1] box.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from nets import NETS
from torch import Tensor, nn

from bdry.core.seeds import seeded_globally
from bdry.data import DATASETS
from bdry.margins import apgd, certified, fmn, walk


def trained(name: str, x: Tensor, labels: Tensor) -> nn.Module:
    """One epoch of Adam, batches of 64 in the data's order."""
    with seeded_globally(0):
        net = NETS[name](0.286, 0.353)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for images, wanted in zip(x.split(64), labels.split(64), strict=True):
        optimiser.zero_grad()
        F.cross_entropy(net(images), wanted).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    parser.add_argument("--methods", nargs="+", default=["ibp", "crown_ibp", "crown"])
    given = parser.parse_args()
    data = DATASETS["fashion_mnist"](root=Path("~/.cache/bdry").expanduser(), download=False)
    learned, test = data.train[: given.train], data.test[:500]
    print("| net | accuracy | norm | method | seconds an image | mean lower bound | of the best known |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in given.nets:
        net = trained(name, learned.pixels(), learned.labels)
        right = net(test.pixels()).argmax(1) == test.labels
        x = test.pixels()[right][: given.images]
        for norm in ("linf", "l2"):
            found = [walk(net, x, norm=norm, clipped=True, steps=100)]
            found += [estimator(net, x, norm=norm, clipped=True) for estimator in (fmn, apgd)]
            best = torch.stack([result.margin for result in found]).nan_to_num(torch.inf).amin(0)
            for method in given.methods:
                begin = time.perf_counter()
                lower = certified(net, x, norm=norm, clipped=True, method=method).lower
                seconds = (time.perf_counter() - begin) / len(x)
                print(
                    f"| {name} | {right.float().mean():.1%} | {norm} | {method} | {seconds:.2f} | {lower.mean():.3g} | "
                    f"{(lower / best).mean():.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
