"""Label checks a second in the path finder, beside the path search of docs/papers/fawzi2017.md written as a plain loop.

The loop takes one pair after the other and one sample a forward pass, hence a part of the pairs is enough for its rate;
both look for the same paths, at the same step, in one process. Half of the pairs are two images with one label, half
have an end that was brought into the region from a random point.
`python benchmarks/connectivity.py [--device cuda] [--float64]`

With --detours: how often each finder joins the arms of a C, by how long the way round is. The C is a ring from radius 1
to 2 in a plane of 2 or 784 dimensions, without a sector; the ends lie up to half a radian from it, on both sides.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bdry.core.measuring import measuring
from bdry.core.seeds import generator, seeded_globally
from bdry.data import Split
from bdry.geometry.regions import FINDERS, SCENARIOS, Budget, PathResult, Projection, find_paths, project_into
from bdry.geometry.regions.paths import MIN_INTERVALS
from bdry.models import Classifier, build_classifier
from bdry.models.classifier import Normalise

PAIRS, LOOPED, STEP, DEPTH, DETOURS = 60, 12, 1e-3, 16, 10
HOW = Projection()


def classifier(name: str, images: Split) -> nn.Module:
    """An untrained CNN whose logits are shifted so that noise gets many labels: it times like a trained one.

    lenet, or "small": two strided convolutions, about 10,000 multiply-adds an image, where the loop's own cost shows.
    """
    if name == "small":
        with seeded_globally(0):
            body = nn.Sequential(nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU(), nn.Flatten())
            model = Classifier(Normalise([0.5], [0.05]), body, nn.Linear(72, 10))
    else:
        model = build_classifier(name, (1, 28, 28), 10, mean=[0.5], std=[0.05], seed=0, options={"activation": "relu"})
    with torch.no_grad():
        model.head.bias -= model.eval()(images.pixels()).mean(0)
    return model


@dataclass
class Loop:
    """The plain loop, and how many labels it has looked up."""

    model: nn.Module
    checks: int = 0

    def label(self, x: Tensor) -> int:
        self.checks += 1
        with torch.no_grad():
            return int(self.model(x[None]).argmax())

    def path(self, start: Tensor, end: Tensor, label: int, spacing: float, depth: int = 0) -> list[Tensor] | None:
        """The anchors between both ends, or None where they are not joined within `depth` bisections."""
        count = max(MIN_INTERVALS, math.ceil(float((end - start).double().norm()) / spacing * (1 - 1e-9)))
        if all(self.label(torch.lerp(start, end, j / count)) == label for j in range(1, count)):
            return []
        if depth == DEPTH:
            return None
        middle = torch.lerp(start, end, 0.5)
        self.checks += 1
        further = min(2.0**depth, 1 / HOW.overshoot)
        found = project_into(
            self.model, middle[None], torch.tensor([label], device=start.device), HOW, batch_size=1, further=further
        )
        if not bool(found.reached):
            return None
        middle = found.points[0]
        before = self.path(start, middle, label, spacing, depth + 1)
        after = None if before is None else self.path(middle, end, label, spacing, depth + 1)
        return None if before is None or after is None else [*before, middle, *after]

    def paths(self, x1: Tensor, x2: Tensor) -> list[Tensor | None]:
        found = []
        for start, end in zip(x1, x2, strict=True):
            spacing = STEP * float((end - start).double().norm())
            label = self.label(start)
            inner = self.path(start, end, label, spacing) if self.label(end) == label else None
            found.append(None if inner is None else torch.stack([start, *inner, end]))
        return found


def same(ours: PathResult, theirs: list[Tensor | None]) -> int:
    """Of the first pairs, those with the same answer and, but for rounding, the same anchors."""
    count = 0
    for found, anchors, other in zip(ours.found.tolist(), ours.anchors, theirs, strict=False):
        if found and other is not None:
            count += anchors.shape == other.shape and bool(torch.allclose(anchors, other, rtol=0, atol=1e-3))
        else:
            count += found == (other is not None)
    return count


def bare(model: nn.Module, x: Tensor) -> float:
    """Labels a second of the net alone, at the path finder's batch size: what it cannot exceed."""
    batch = x[:1].expand(512, *x.shape[1:]).contiguous()
    with torch.no_grad():
        model(batch).argmax(1).tolist()
        begin = time.perf_counter()
        for _ in range(40):
            model(batch).argmax(1).tolist()
    return 40 * len(batch) / (time.perf_counter() - begin)


class CShape(nn.Module):
    """Class 0 in the ring around 0 from 1 to 2 but for a sector around the first axis of a plane, (d, 2)."""

    def __init__(self, half_angle: float, plane: Tensor) -> None:
        super().__init__()
        self.half_angle, self.plane = half_angle, plane

    def forward(self, x: Tensor) -> Tensor:
        p = x @ self.plane
        r, angle = p.norm(dim=1), torch.atan2(p[:, 1], p[:, 0]).abs()
        value = torch.minimum(torch.minimum(r - 1, 2 - r), r * (angle - self.half_angle))
        return torch.stack([value, torch.zeros_like(value)], 1)


def ends_of_c(half_angle: float, plane: Tensor) -> list[Tensor]:
    """`DETOURS` points on each side of the gap."""
    u = torch.rand(2, 2, DETOURS, generator=generator(0, "bench, detours"), dtype=torch.float64)
    ends = []
    for sign, (angle, radius) in zip((1, -1), u, strict=True):
        at, r = sign * (half_angle + 0.02 + 0.5 * angle), 1.2 + 0.6 * radius
        ends.append(torch.stack([r * at.cos(), r * at.sin()], 1) @ plane.T)
    return ends


def detours() -> None:
    """The shortest way round keeps to the inner circle: its length is taken as radius 1 times the angle left."""
    print("| dimensions | half-angle of the gap | way round / distance, median | finder | found | labels a pair | s |")
    print("|---|---|---|---|---|---|---|")
    for d in (2, 784):
        plane = torch.linalg.qr(torch.randn(d, 2, generator=generator(0, "plane"), dtype=torch.float64)).Q
        for half_angle in (1.0, 0.6, 0.3, 0.05):
            model, (x1, x2) = CShape(half_angle, plane), ends_of_c(half_angle, plane)
            p1, p2 = x1 @ plane, x2 @ plane
            angles = [torch.atan2(p[:, 1], p[:, 0]).abs() for p in (p1, p2)]
            ratio = ((2 * torch.pi - angles[0] - angles[1]) / (x2 - x1).norm(dim=1)).median()
            for finder in FINDERS:
                begin = time.process_time()
                found = find_paths(model, x1, x2, step=STEP, finder=finder, batch_size=4096)
                taken = time.process_time() - begin
                labels = float(found.label_checks.double().mean())
                ours = f"{int(found.found.sum())} of {DETOURS} | {labels:.0f} | {taken:.1f}"
                print(f"| {d} | {half_angle} | {ratio:.1f} | {finder} | {ours} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("networks", nargs="*", default=["small", "lenet"])
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--float64", action="store_true", help="no decision hangs on rounding: the same paths")
    arguments.add_argument("--detours", action="store_true", help="the finders' power by length of detour instead")
    asked = arguments.parse_args()
    if asked.detours:
        detours()
        return
    kind, device = torch.float64 if asked.float64 else torch.float32, torch.device(asked.device)
    draw = generator(0, "bench")
    pixels = torch.randint(0, 256, (200, 1, 28, 28), generator=draw, dtype=torch.uint8)
    images = Split(pixels, torch.zeros(200, dtype=torch.int64), torch.arange(200))
    print(f"{platform.machine()} {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {kind}\n")
    print("| network | way | pairs | found | straight | anchors | label checks | seconds | checks/s | the same paths |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in asked.networks:
        model = classifier(name, images)
        with measuring(model):
            pairs = [SCENARIOS[scenario](model, images, PAIRS // 2) for scenario in ("natural", "random")]
            # both kinds in turn
            ends = (torch.stack(end, 1).flatten(0, 1) for end in zip(*((p.x1, p.x2) for p in pairs), strict=True))
            x1, x2 = (end.to(device, kind) for end in ends)
            model.to(device, kind)
            budget = Budget(depth=DEPTH, calls=10**9, retries=0)
            find_paths(model, x1[:2], x2[:2], step=STEP, budget=budget)
            begin = time.perf_counter()
            ours = find_paths(model, x1, x2, step=STEP, budget=budget)
            checks = int(ours.label_checks.sum())
            taken = time.perf_counter() - begin
            loop = Loop(model)
            begin = time.perf_counter()
            theirs = loop.paths(x1[:LOOPED], x2[:LOOPED])
            plain = time.perf_counter() - begin
            floor = bare(model, x1)
        found, anchors = int(ours.found.sum()), int(ours.num_anchors[ours.found].sum())
        rate, plain_rate = checks / taken, loop.checks / plain
        shared = f"{PAIRS} | {found} | {int(ours.straight.sum())} | {anchors}"
        print(f"| {name} | bdry | {shared} | {checks} | {taken:.2f} | {rate:.0f} | {same(ours, theirs)} of {LOOPED} |")
        solved = sum(path is not None for path in theirs)
        print(f"| {name} | plain loop | {LOOPED} | {solved} | | | {loop.checks} | {plain:.2f} | {plain_rate:.0f} | |")
        print(f"| {name} | net alone, batches of 512 | | | | | | | {floor:.0f} | |")
        faster = f"{rate / plain_rate:.1f} times the label checks a second, {rate / floor:.0%} of the net alone's"
        print(f"\n{name}: {faster}\n", flush=True)


if __name__ == "__main__":
    main()
