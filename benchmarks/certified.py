"""Certified lower bounds beside the best margins known: `python benchmarks/certified.py [--images 8]`.

The piecewise linear networks of `nets.py`. A row is a method of `margin=certified`: CPU seconds an image on one thread,
mean lower bound, and its mean share of the best margin that walk (100 steps), FMN and APGD found, in the [0, 1] box.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from nets import NETS, load, right_images

from bdry.margins import apgd, certified, fmn, walk
from bdry.names import BOUND_METHODS

# airbench bends by GELU, which has no linear pieces
PIECEWISE_LINEAR = [name for name in NETS if name not in ("airbench", "digits")]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--nets", nargs="+", default=PIECEWISE_LINEAR, choices=PIECEWISE_LINEAR)
    parser.add_argument("--norms", nargs="+", default=["linf", "l2"], choices=["linf", "l2"])
    parser.add_argument("--methods", nargs="+", default=list(BOUND_METHODS), choices=BOUND_METHODS)
    parser.add_argument("--search-steps", type=int, default=11, help="bounds are within 2^-this of what is provable")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of a network of the same form instead")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| net | accuracy | norm | method | CPU seconds an image | mean lower bound | of the best known |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in given.nets:
        net, data = load(name, given.weights)
        x, _, accuracy = right_images(net, data, given.images)
        for norm in given.norms:
            found = [walk(net, x, norm=norm, clipped=True, steps=100)]
            found += [estimator(net, x, norm=norm, clipped=True) for estimator in (fmn, apgd)]
            best = torch.stack([result.margin for result in found]).nan_to_num(torch.inf).amin(0)
            for method in given.methods:
                begin = time.process_time()
                result = certified(net, x, norm=norm, clipped=True, method=method, search_steps=given.search_steps)
                seconds, lower = (time.process_time() - begin) / len(x), result.lower
                print(
                    f"| {name} | {accuracy:.1%} | {norm} | {method} | {seconds:.2f} | {lower.mean():.3g} | "
                    f"{(lower / best).mean():.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
