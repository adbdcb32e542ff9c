"""Every estimator against exact margins on small ReLU networks: `python benchmarks/exact_nets.py [--images 30]`.

The truth is `margin=milp`, whose margin and lower bound agree to 1e-4. A row is an estimator on a network in a norm, in
the box and out of it: mean and worst ratio of its margins to the truth, and images on which it found none.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable

import torch
from torch import nn

from bdry.margins import ESTIMATORS, MarginResult

WIDTHS = {"2-16-16-3": (2, 16, 16, 3), "4-24-3": (4, 24, 3)}
ROWS: dict[str, Callable[..., MarginResult]] = {
    **{name: ESTIMATORS[name] for name in ("deepfool", "ddn", "fmn", "fab", "apgd")},
    **{f"walk {steps}": functools.partial(ESTIMATORS["walk"], steps=steps) for steps in (9, 24, 100)},
}


def relu_net(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """A fully connected network with weights of variance 2 / fan-in and logits of mean 0 over the box."""
    draw = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after)
        layer.weight.data = torch.randn(after, before, generator=draw) * (2 / before) ** 0.5
        layer.bias.data = 0.5 * torch.randn(after, generator=draw)
        layers += [layer, nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).requires_grad_(False)
    head = net[-1]
    assert isinstance(head, nn.Linear)
    head.bias -= net(torch.rand(500, 1, 1, widths[0], generator=draw)).mean(0)
    return net


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nets", nargs="+", default=list(WIDTHS), choices=list(WIDTHS))
    given = parser.parse_args()
    print("| net | norm | estimator | mean ratio | worst ratio | failures |\n|---|---|---|---|---|---|")
    for name in given.nets:
        widths = WIDTHS[name]
        net = relu_net(widths, given.seed)
        draw = torch.Generator().manual_seed(given.seed + 1)
        x = torch.rand(given.images, 1, 1, widths[0], generator=draw)
        for norm in ("l2", "linf"):
            for clipped in (False, True):
                truth = ESTIMATORS["milp"](net, x, norm=norm, clipped=clipped)
                where = f"{norm}, in the box" if clipped else norm
                for row, estimator in ROWS.items():
                    if row == "ddn" and norm == "linf":
                        continue
                    found = estimator(net, x, norm=norm, clipped=clipped)
                    both = truth.success & found.success
                    ratio = (found.margin / truth.margin)[both]
                    failures = int((truth.success & ~found.success).sum())
                    print(
                        f"| {name} | {where} | {row} | {ratio.mean():.3f} | {ratio.max():.2f} | {failures} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
