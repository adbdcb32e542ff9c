"""Speed of dense curvature spectra at d = 784 beside a loop of single products and the gradient floor: one run.

Floor: a product with the Hessian is about two gradients of arithmetic, so that 784 are some 1,568 gradients, timed as a
batch. Loops: products one at a time, by two backward passes or forward over reverse. Prints a table; medians of three.
"""

from __future__ import annotations

import functools
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jvp

from bdry.core.measuring import measuring
from bdry.core.seeds import generator
from bdry.geometry.boundary.logit_gap import gap_and_gradient, same_pair
from bdry.geometry.boundary.spectrum import dense_spectrum, extreme_spectrum
from bdry.models import Classifier, build_classifier

PIXELS, SINGLES, BATCH = 784, 16, 256


def network(name: str, dtype: torch.dtype) -> Classifier:
    options = {"activation": "softplus"}
    return build_classifier(name, (1, 28, 28), 10, mean=[0.5], std=[0.3], seed=0, options=options).to(dtype)


def double_backward(model: Classifier, z: Tensor) -> None:
    """A graph of the gradient, then the gradient of its product with one direction, for one direction at a time."""
    for pixel in range(SINGLES):
        leaf = z.clone().requires_grad_(True)
        logits = model(leaf)
        (slope,) = torch.autograd.grad(logits[0, 0] - logits[0, 1], leaf, create_graph=True)
        torch.autograd.grad(slope.flatten()[pixel], leaf)


def forward_over_reverse(model: Classifier, z: Tensor) -> None:
    """torch.func's way, for one direction at a time."""

    def difference(x: Tensor) -> Tensor:
        logits = model(x)[0]
        return logits[0] - logits[1]

    for direction in torch.eye(PIXELS, dtype=z.dtype)[:SINGLES]:
        jvp(grad(difference), (z,), (direction.reshape(z.shape),))


def gradients(model: Classifier, z: Tensor) -> None:
    gap_and_gradient(model, z.expand(BATCH, *z.shape[1:]), *same_pair(0, 1, BATCH, z.device))


def milliseconds(work: Callable[[], object]) -> float:
    """Median of three, after one that does not count."""
    work()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken)


def row(model: Classifier, z: Tensor) -> list[str]:
    own, other = torch.tensor([0]), torch.tensor([1])
    dense = milliseconds(lambda: dense_spectrum(model, z, own, other))
    both = milliseconds(lambda: dense_spectrum(model, z, own, other, num_directions=5))
    ends = milliseconds(lambda: extreme_spectrum(model, z, own, other, num_directions=5))
    floor = milliseconds(lambda: gradients(model, z)) / BATCH * 2 * PIXELS
    ways = (double_backward, forward_over_reverse)
    loops = [milliseconds(functools.partial(way, model, z)) / SINGLES * PIXELS for way in ways]
    faster = [f"{loop:.0f} ({loop / dense:.1f}x)" for loop in loops]
    return [f"{dense:.0f}", f"{both:.0f}", *faster, f"{floor:.0f} ({dense / floor:.2f})", f"{ends:.0f}"]


def main() -> None:
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}; ms a point, d = {PIXELS}\n")
    titles = ["network", "dtype", "dense", "with 5+5 directions", "loop, double backward", "loop, forward over reverse"]
    titles += ["floor (dense / floor)", "Lanczos 5+5"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name in ("lenet", "cnn", "plaincnn"):
        for dtype in (torch.float32, torch.float64):
            model = network(name, dtype)
            z = torch.rand(1, 1, 28, 28, generator=generator(0, "bench")).to(dtype)
            with measuring(model):
                print(f"| {' | '.join([name, str(dtype)[6:], *row(model, z)])} |", flush=True)


if __name__ == "__main__":
    main()
