"""What the rows of `margins.py` are worth: their margins, evaluated again, a table, and a picture of the way there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from watched import OUTSIDE

from bdry.core.norms import per_sample
from bdry.core.segments import first_crossing, gap
from bdry.figures.style import in_palette

# the optimality curves: within these shares of the best known
WITHIN = (0.01, 0.05, 0.20)
ORDERS = {"l2": 2.0, "linf": torch.inf}


@dataclass
class Outcome:
    """A row that has run, on the first `len(margin)` images of its table.

    reason: why it has not run. seconds: as `watched.now` counts. forwards, backwards: mean passes an image. margin:
    (N,), after our bisection, nan where no valid point was found. events: (E, 3): image, passes, distance; see
    `watched`.
    """

    name: str
    reason: str = ""
    seconds: float = 0.0
    forwards: float = 0.0
    backwards: float = 0.0
    margin: np.ndarray | None = None
    events: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        partly = path.with_suffix(".partly.npz")
        np.savez(partly, **vars(self))
        partly.replace(path)

    @staticmethod
    def load(path: Path) -> Outcome:
        """What `save` left."""
        with np.load(path) as kept:
            return Outcome(**{name: kept[name] if kept[name].ndim else kept[name].item() for name in kept.files})


@torch.no_grad()
def margins(net: nn.Module, x: Tensor, points: Tensor, labels: Tensor, norm: str, batch: int) -> Tensor:
    """Distances of the points after bisection between image and point, in float64; nan where a point is not valid."""
    margin = _valid_distance(net, x, points, labels, norm, batch)
    rows = margin.isfinite().nonzero()[:, 0]
    for chosen in rows.split(batch):
        here, end, label = x[chosen], points[chosen], labels[chosen]
        ends = {"gap_at_x": gap(net(here), label), "gap_at_end": gap(net(end), label)}
        t, _, _ = first_crossing(net, here, end - here, label, **ends)
        nearer = _valid_distance(net, here, here + per_sample(t, here) * (end - here), label, norm, batch)
        # rounding may take the label back so near to the boundary: the point itself stands then
        margin[chosen] = torch.fmin(nearer, margin[chosen])
    return margin


def _valid_distance(net: nn.Module, x: Tensor, points: Tensor, labels: Tensor, norm: str, batch: int) -> Tensor:
    found = torch.cat([net(part).argmax(1) for part in points.split(batch)])
    flat = points.flatten(1)
    valid = flat.isfinite().all(1) & (found != labels) & (flat.amin(1) >= -OUTSIDE) & (flat.amax(1) <= 1 + OUTSIDE)
    distance = (flat.double() - x.flatten(1).double()).norm(ORDERS[norm], dim=1)
    return torch.where(valid, distance, torch.nan)


def best_known(outcomes: list[Outcome], count: int) -> np.ndarray:
    """The smallest margin of each image over all rows and all points on their ways, (N,)."""
    best = np.full(count, np.inf)
    for outcome in outcomes:
        if outcome.margin is not None and outcome.events is not None:
            best[: len(outcome.margin)] = np.fmin(best[: len(outcome.margin)], outcome.margin)
            np.minimum.at(best, outcome.events[:, 0].astype(int), outcome.events[:, 2])
    return best


def table(title: str, outcomes: list[Outcome], count: int, seconds: str) -> str:
    """The Markdown table of a network and a norm; seconds: what they are called."""
    best = best_known(outcomes, count)
    known = best[np.isfinite(best)]
    lines = [
        f"### {title}",
        "",
        f"{count} images, mean best known {known.mean():.4f}.",
        "",
        f"| row | {seconds} | passes (f + b) | success | mean ratio | worst | within 1 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in outcomes:
        if row.margin is None:
            lines.append(f"| {row.name} | {row.reason} | | | | | |")
            continue
        size = len(row.margin)
        ratio = row.margin / best[:size]
        found = ratio[np.isfinite(ratio)]
        part = f" ({size} images)" if size < count else ""
        worth = f"{found.mean():.4f} | {found.max():.2f}" if len(found) else "- | -"
        lines.append(
            f"| {row.name}{part} | {row.seconds * count / size:.2f} | {row.forwards:.0f} + {row.backwards:.0f} "
            f"| {len(found) / size:.3f} | {worth} | {(found <= 1.01).sum() / size:.0%} |"
        )
    return "\n".join(lines) + "\n"


def shares(row: Outcome, best: np.ndarray, within: float, budgets: np.ndarray) -> np.ndarray:
    """The share of images whose distance after so many passes is within a share of the best known; bisection at last.

    budgets: (B,), passes, forwards and backwards together. Returns (B,).
    """
    assert row.margin is not None and row.events is not None
    size, wanted = len(row.margin), (1 + within) * best[: len(row.margin)]
    image, passes, distance = row.events.T
    image = image.astype(int)
    first = np.full(size, np.inf)
    good = distance <= wanted[image]
    np.minimum.at(first, image[good], passes[good])
    at_last = row.margin <= wanted
    first[at_last] = np.minimum(first[at_last], row.forwards + row.backwards)
    return (first[:, None] <= budgets).mean(0)


def draw(title: str, by_norm: dict[str, list[Outcome]], count: int, names: list[str], path: Path) -> None:
    """The optimality curves of the rows `names`: norms below each other, shares of the best known side by side."""
    figure, axes = plt.subplots(
        len(by_norm), len(WITHIN), figsize=(11, 3.4 * len(by_norm)), sharex=True, sharey=True, squeeze=False
    )
    budgets = np.unique(np.geomspace(2, 3000, 120).round())
    colours = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))
    for line, (norm, outcomes) in zip(axes, by_norm.items(), strict=True):
        best = best_known(outcomes, count)
        for axis, within in zip(line, WITHIN, strict=True):
            for row in outcomes:
                if row.name in colours and row.margin is not None:
                    ours = not row.name.startswith(("adv-lib", "foolbox", "AutoAttack"))
                    style = {"color": colours[row.name], "lw": 1.8 if ours else 1.0, "ls": "-" if ours else "--"}
                    axis.plot(budgets, shares(row, best, within, budgets), label=row.name, **style)
            axis.set(xscale="log", title=f"{norm}, within {within:.0%} of the best known")
        line[0].set_ylabel("share of images")
    for axis in axes[-1]:
        axis.set_xlabel("passes an image, both ways")
    lines = {text: line for axis in axes.flat for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(title)
    figure.set_layout_engine("constrained")
    in_palette(figure, None, 80).save(path, optimize=True)
    plt.close(figure)
