"""Every estimator against exact margins on small ReLU networks: `python benchmarks/exact_nets.py [--images 30]`.

The truth is `margin=milp`, whose margin and lower bound agree to 1e-4, or with `--truth lattice`, in two dimensions and
in the box, `margin=lattice`. A row is an estimator over all networks, both norms, in the box and out of it: mean and
worst ratio of its margins to the truth, how many are more than 1 % above it, images on which it found none, and passes.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bdry.margins import ESTIMATORS, MarginResult

WIDTHS = {"2-16-16-3": (2, 16, 16, 3), "4-24-3": (4, 24, 3)}
ROWS: dict[str, Callable[..., MarginResult]] = {
    **{name: ESTIMATORS[name] for name in ("deepfool", "ddn", "fmn", "fab", "apgd")},
    **{f"walk {steps}": functools.partial(ESTIMATORS["walk"], steps=steps) for steps in (9, 40, 100)},
}
# pixel units: nearer than that a lattice is no truth
NEAREST = 0.02


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


def ratios(net: nn.Module, x: Tensor, truth: str, norm: str, clipped: bool, rows: list[str]) -> dict[str, Tensor]:
    """Of each row that knows the norm: ratios to the truth, inf for failures, and passes; (2, N) of what is judged."""
    exact = ESTIMATORS[truth](net, x, norm=norm, clipped=clipped)
    judged = exact.success & (exact.margin > (NEAREST if truth == "lattice" else 0.0))
    found = {}
    for row in rows:
        if row == "ddn" and norm == "linf":
            continue
        result = ROWS[row](net, x, norm=norm, clipped=clipped)
        ratio = (result.margin / exact.margin).nan_to_num(torch.inf)
        found[row] = torch.stack([ratio, (result.forwards + result.backwards).float()])[:, judged]
    return found


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=30, help="of each network")
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=(0, 1), help="of the networks, the first and beyond the last"
    )
    parser.add_argument("--nets", nargs="+", default=list(WIDTHS), choices=list(WIDTHS))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--truth", default="milp", choices=["milp", "lattice"])
    given = parser.parse_args()
    print("| net | estimator | images | mean ratio | worst | more than 1 % above | failures | passes |")
    print("|---|---|---|---|---|---|---|---|")
    for name in given.nets:
        found: dict[str, list[Tensor]] = {}
        for seed in range(*given.seeds):
            net = relu_net(WIDTHS[name], seed)
            x = torch.rand(given.images, 1, 1, WIDTHS[name][0], generator=torch.Generator().manual_seed(seed + 1))
            for norm, clipped in itertools.product(
                ("l2", "linf"), (True,) if given.truth == "lattice" else (False, True)
            ):
                for row, part in ratios(net, x, given.truth, norm, clipped, given.rows).items():
                    found.setdefault(row, []).append(part)
        for row, parts in found.items():
            ratio, passes = torch.cat(parts, 1)
            reached = ratio[ratio.isfinite()]
            print(
                f"| {name} | {row} | {len(ratio)} | {reached.mean():.4f} | {reached.max():.2f} | "
                f"{(reached > 1.01).float().mean():.0%} | {len(ratio) - len(reached)} | {passes.mean():.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
