"""How much of `walk`'s time its projections onto hyperplanes take: `python benchmarks/own_work.py`.

Seconds are CPU time of the process on one thread, of the fastest of several repetitions, on rightly classified test
images inside the [0, 1] box.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from unittest import mock

from margins import BATCHES, BOTH, header
from nets import NETS, load, right_images
from torch import Tensor

from bdry.core.halfspace import project_hyperplane
from bdry.margins import walk
from bdry.session.build import prepare_machine


class Timed:
    """A function that adds up the CPU seconds of its calls."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: object, **options: object) -> object:
        begin = time.process_time()
        result = self.function(*args, **options)
        self.seconds += time.process_time() - begin
        return result


def measured(net: Callable[[Tensor], Tensor], x: Tensor, norm: str, steps: int, batch: int) -> tuple[float, float]:
    """CPU seconds of the walk on all x, (N, C, H, W), and of its projections."""
    timed = Timed(project_hyperplane)
    with (
        mock.patch("bdry.margins.search.project_hyperplane", timed),
        mock.patch("bdry.margins.walk.project_hyperplane", timed),
    ):
        begin = time.process_time()
        for part in x.split(batch):
            walk(net, part, norm=norm, clipped=True, steps=steps)
        return time.process_time() - begin, timed.seconds


def main() -> None:
    """Prints a table of networks, norms and lengths of the walk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=["mlp", "cnn"])
    parser.add_argument("--steps", type=int, nargs="+", default=[9, 40])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    device = prepare_machine("cpu", 1)
    warnings.filterwarnings("ignore")
    print(header(device) + "\n\n| network | norm | steps | CPU s | projections |\n|---|---|---|---|---|", flush=True)
    for name in given.nets:
        net, data = load(name, None, device)
        x, _, _ = right_images(net, data, given.images)
        for norm in BOTH:
            for steps in given.steps:
                runs = [measured(net, x, norm, steps, BATCHES[name]) for _ in range(given.repeats)]
                whole, projections = min(runs)
                print(f"| {name} | {norm} | {steps} | {whole:.2f} | {projections / whole:.0%} |", flush=True)


if __name__ == "__main__":
    main()
