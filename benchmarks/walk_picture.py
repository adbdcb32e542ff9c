"""How `walk` works, drawn on a network of two inputs: `python benchmarks/walk_picture.py`.

The plane shows the regions of the classes, the edges of the pieces on which the network is linear, the points that a
walk tries, by number, and the boundary linearised at each of them. The ball is that of the margin.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from exact_nets import WIDTHS, relu_net
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Circle, Rectangle
from torch import Tensor, nn

from bdry.figures.style import COLOURS, NORM_LABELS, RC, in_palette
from bdry.margins import walk

PLACE = Path(__file__).parent.parent / "docs" / "figures" / "walk.png"
PALE = ListedColormap(["#dbeaf4", "#f8e3d5", "#d8efe7"])
WALKED, LINEARISED = COLOURS[1], COLOURS[0]
POINTS = 500
# of the picture's half width: a number nearer than that to the one before is left out
LEGIBLE = 0.05


class Recorder(nn.Module):
    """Keeps the points at which a gradient was asked for: the image and those of the walk, not the bisection's."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.points = net, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.points.append(x.detach().flatten())
        return self.net(x)


def way(net: nn.Module, x: Tensor, norm: str, steps: int) -> tuple[Tensor, float, int]:
    """The points of a walk from x towards its nearest class, (P, 2), its margin and the class."""
    target = walk(net, x, norm=norm, steps=100).boundary_class
    recorder = Recorder(net)
    margin = float(walk(recorder, x, norm=norm, towards=target, steps=steps).margin)
    return torch.stack(recorder.points), margin, int(target)


def plane(net: nn.Sequential, axes: Axes, around: Tensor, reach: float) -> None:
    """The regions of the classes, and where a hidden unit starts or stops."""
    across, up = (np.linspace(float(centre) - reach, float(centre) + reach, POINTS) for centre in around)
    values = torch.tensor(np.stack(np.meshgrid(across, up), -1).reshape(-1, 1, 1, 2), dtype=torch.float32)
    axes.contourf(across, up, net(values).argmax(1).reshape(POINTS, -1), levels=[-0.5, 0.5, 1.5, 2.5], cmap=PALE)
    for layer in net[:-1]:
        values = layer(values)
        if isinstance(layer, nn.Linear):
            for unit in values.T:
                axes.contour(across, up, unit.reshape(POINTS, -1), levels=[0], colors="#c4c4c4", linewidths=0.5)
    axes.set(aspect="equal", xlim=(across[0], across[-1]), ylim=(up[0], up[-1]), xticks=[], yticks=[])
    axes.grid(False)


def linearised(net: nn.Module, axes: Axes, point: Tensor, target: int, start: int, half: float) -> None:
    """The boundary linearised at a point, as the piece of its line that is nearest to the point."""
    z = point.reshape(1, 1, 1, 2).clone().requires_grad_()
    logits = net(z)[0]
    value = logits[target] - logits[start]
    w = torch.autograd.grad(value, z)[0].flatten()
    nearest = point - value.detach() * w / w.dot(w)
    along = half * torch.stack([-w[1], w[0]]) / w.norm()
    axes.plot(*torch.stack([nearest - along, nearest + along]).T, color=LINEARISED, lw=0.9, ls="--", zorder=2)


def main() -> None:
    """Draws both norms side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=8, help="of the network")
    parser.add_argument("--at", type=float, nargs=2, default=(0.48, 0.3), help="the image")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--place", type=Path, default=PLACE)
    given = parser.parse_args()
    net = relu_net(WIDTHS["2-16-16-3"], given.seed)
    x = torch.tensor(given.at).reshape(1, 1, 1, 2)
    start = int(net(x).argmax())
    with plt.rc_context(RC):
        figure, panels = plt.subplots(1, 2, figsize=(8.4, 4.4), layout="constrained")
        for axes, norm in zip(panels, NORM_LABELS, strict=True):
            points, margin, target = way(net, x, norm, given.steps)
            reach = 1.15 * float((points - x.flatten()).abs().max())
            plane(net, axes, x.flatten(), reach)
            for point in points:
                linearised(net, axes, point, target, start, 0.3 * reach)
            axes.plot(*points.T, "-o", color=WALKED, ms=4, lw=1.2, zorder=3)
            last = points[0]
            for number, point in enumerate(points[1:], 1):
                if float((point - last).abs().max()) > LEGIBLE * reach:
                    axes.annotate(str(number), point.tolist(), xytext=(5, 3), textcoords="offset points", fontsize=9)
                    last = point
            if norm == "l2":
                axes.add_patch(Circle(given.at, margin, fill=False, lw=1.2))
            else:
                corner = [value - margin for value in given.at]
                axes.add_patch(Rectangle(corner, 2 * margin, 2 * margin, fill=False, lw=1.2))
            axes.plot(*given.at, "*k", ms=9, zorder=4)
            axes.set_title(f"{NORM_LABELS[norm]}, margin {margin:.4f}")
        given.place.parent.mkdir(parents=True, exist_ok=True)
        in_palette(figure, None, 110).save(given.place, optimize=True)
    plt.close(figure)


if __name__ == "__main__":
    main()
