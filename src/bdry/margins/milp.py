"""Exact margins of small piecewise linear networks by mixed-integer programming: the truth for the other estimators."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import per_sample
from .bounds import Ball, Bounds
from .network import Node, trace
from .program import Program
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search
from .walk import walk

# a point of another label is looked for this much farther than walk's, whose own rounding may make it miss
BEYOND = 1.01
# by this share of the gap at the image a point is ahead that may not lie on the boundary
AHEAD = 1e-5
# where walk found none and the box does not hold, pixel units
FARTHEST = 10.0
# rounds of cuts that a program in l2 gets at most
ROUNDS = 60


@ESTIMATORS.register("milp", abilities=Abilities(model="piecewise linear", certifies=True, tolerance=1e-3))
def milp(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    max_nodes: int = 20_000,
    gap: float = 1e-4,
) -> MarginResult:
    """Margins by a mixed-integer program for every other class, in the ball that `walk` leaves; for small networks.

    `margin` is the distance of the nearest point found, `lower` what is proven: they agree to `gap` unless the work ran
    out, in which case the row has the bracket that was reached. In l2 the ball is approximated from outside by planes
    that touch it, and refined until the gap is closed.

    Args:
        model: a module that `network.trace` can follow, of at most some thousand units.
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: l2 or linf.
        clipped: keep to the [0, 1] box.
        towards: (N,), classes to reach.
        max_nodes: branch-and-bound nodes of an image at most, over all its programs: a bound on work, not on time.
        gap: relative difference of margin and lower bound at which an image is done.

    Raises:
        ValueError: the network is too large, or has a step that is not piecewise linear.

    Reference: Tjeng, Xiao and Tedrake 2019, arXiv 1711.07356, section 4; solved by HiGHS through SciPy.
    Differs: bounds of the ReLUs by CROWN in the ball of walk's margin; l2 by outer approximation.
    """
    nodes = trace(model, x.shape[1:])
    near = walk(model, x, start_class, norm=norm, clipped=clipped, towards=towards, steps=100)
    search = Search(model, x, near.start_class, norm=norm, towards=towards, clipped=clipped)
    found = near.success.nonzero()[:, 0]
    search.evaluate(found, near.point[found], graph=False)
    search.forwards += near.forwards
    search.backwards += near.backwards
    lower = torch.full_like(near.margin, torch.nan)
    for row in search.open_rows().split(1):
        i = int(row)
        radius = float(near.margin[i]) if bool(near.success[i]) else FARTHEST
        radius = min(radius, _farthest(x, norm)) if clipped else radius
        start, target = int(search.start[i]), None if towards is None else int(towards[i])
        programs = _Programs(nodes, x[i : i + 1], norm, clipped, start, max_nodes, gap)
        lower[i], point = programs.nearest(radius, target)
        if clipped:
            # nothing in the box is farther
            lower[i] = lower[i].clamp_max(_farthest(x, norm))
        _try(search, row, point, gap)
        if point is not None and float(search.distance[i]) > (1 + gap) * float(lower[i]):
            # in a corner of its region there is nothing behind the point: one that is ahead by more than rounding
            programs.ahead = max(AHEAD * float(search.start_gap[i]), 2 * float(search.noise[i]))
            _try(search, row, programs.nearest(radius, target)[1], gap)
        search.iterations[i] = programs.num_nodes
    result = search.result()
    # a program's point may keep its label by rounding when it is looked at once more; walk's has been looked at
    lost = near.success & ~result.success
    parts = {
        name: torch.where(per_sample(lost, getattr(near, name)), getattr(near, name), getattr(result, name))
        for name in ("margin", "overshot", "point", "boundary_class", "success")
    }
    return dataclasses.replace(result, **parts, lower=torch.fmin(lower, parts["margin"]))


def _try(search: Search, row: Tensor, point: np.ndarray | None, gap: float) -> None:
    """Looks at a program's point, and a little farther too, since it lies on the boundary itself."""
    if point is None:
        return
    x = search.x[row]
    step = torch.from_numpy(point).to(x).reshape(x.shape) - x
    for share in (0.0, gap / 100, gap / 10):
        z = x + (1 + share) * step
        search.evaluate(row, z.clamp(0, 1) if search.clipped else z, graph=False)


def _farthest(x: Tensor, norm: str) -> float:
    """The largest distance in the box."""
    return x[0].numel() ** 0.5 if norm == "l2" else 1.0


class _Programs:
    """The programs of one image."""

    def __init__(
        self, nodes: list[Node], x: Tensor, norm: str, clipped: bool, start: int, max_nodes: int, gap: float
    ) -> None:
        self.nodes, self.x, self.norm, self.clipped = nodes, x.double(), norm, clipped
        self.start, self.max_nodes, self.gap = start, max_nodes, gap
        self.image = self.x.flatten().cpu().numpy()
        self.num_nodes = 0
        # by how much the other class must be ahead, in logits
        self.ahead = 0.0

    def nearest(self, radius: float, towards: int | None) -> tuple[float, np.ndarray | None]:
        """A lower bound of the distance to another class, or to the class `towards`, and the nearest point found.

        Nothing is looked for farther than a little beyond `radius`.
        """
        num_classes = self.nodes[-1].shape.numel()
        classes = [k for k in range(num_classes) if k != self.start] if towards is None else [towards]
        best, point, lowest = BEYOND * radius, None, np.inf
        for target in self._may_win(self._bounds(best), classes):
            lower, candidate = self._one_class(target, best, exclusive=towards is not None)
            lowest = min(lowest, lower)
            if candidate is not None:
                distance = self._length(candidate - self.image)
                if distance < best:
                    best, point = distance, candidate
        return min(lowest, best), point

    def _bounds(self, radius: float) -> Bounds:
        ball = Ball(self.x, self.x.new_full((1,), radius), self.norm, self.clipped)
        return Bounds.of(self.nodes, ball, refine=True)

    def _may_win(self, bounds: Bounds, classes: list[int]) -> list[int]:
        """Those of the classes that may come ahead of the start class in the ball."""
        rows = self.x.new_zeros(1, len(classes), self.nodes[-1].shape.numel())
        rows[..., self.start] = 1.0
        rows[0, torch.arange(len(classes)), classes] -= 1.0
        return [k for k, low in zip(classes, bounds.lower(rows)[0].tolist(), strict=True) if low <= 0]

    def _one_class(self, target: int, radius: float, exclusive: bool) -> tuple[float, np.ndarray | None]:
        """A lower bound of the distance to where `target` is ahead, at most `radius`, and a point there or None."""
        bounds = self._bounds(radius)
        # no logit comes ahead in the ball: nothing to solve
        if not self._may_win(bounds, [target]):
            return radius, None
        program = Program.of(bounds)
        logits = program.blocks[-1]
        others = [k for k in range(len(logits)) if k != target] if exclusive else [self.start]
        for other in others:
            program.constrain([logits[target], logits[other]], [1, -1], low=self.ahead)
        return self._solve(program, radius)

    def _solve(self, program: Program, radius: float) -> tuple[float, np.ndarray | None]:
        pixels = program.blocks[0]
        distance = int(program.variables([0], [radius])[0])
        for pixel, value in zip(pixels, self.image, strict=True):
            program.constrain([distance, pixel], [1, -1], low=-value)
            program.constrain([distance, pixel], [1, 1], low=value)
        lower, best, point = 0.0, np.inf, None
        for _ in range(1 if self.norm == "linf" else ROUNDS):
            result = self._minimise(program, distance)
            if result is None:
                # no point of the class in the ball
                return radius, point
            bound, values = result
            lower = max(lower, bound)
            if values is None:
                break
            for candidate in (values[pixels], *self._same_pieces(program, distance, values)):
                length = self._length(candidate - self.image)
                if length < best:
                    best, point = length, candidate
                self._cut(program, distance, candidate)
            if best - lower <= self.gap * best or self.num_nodes >= self.max_nodes:
                break
        return min(lower, radius), point

    def _minimise(self, program: Program, distance: int) -> tuple[float, np.ndarray | None] | None:
        """The least distance that the program allows: a lower bound and its variables; None where it allows nothing."""
        left = max(self.max_nodes - self.num_nodes, 1)
        found = program.minimise(distance, gap=self.gap / 10, max_nodes=left)
        self.num_nodes += int(found.mip_node_count or 0) + 1
        return None if found.status == 2 else (found.mip_dual_bound, found.x)

    def _same_pieces(self, program: Program, distance: int, values: np.ndarray) -> list[np.ndarray]:
        """In l2, the nearest points so far of the linear piece that the solution is in: programs without branching."""
        if self.norm == "linf":
            return []
        piece = program.copy()
        for variable in np.flatnonzero(program.binary):
            piece.lower[variable] = piece.upper[variable] = float(round(values[variable]))
        found = []
        for _ in range(ROUNDS):
            result = self._minimise(piece, distance)
            if result is None or result[1] is None:
                break
            candidate = result[1][program.blocks[0]]
            found.append(candidate)
            if self._length(candidate - self.image) - result[0] <= self.gap * result[0] / 2:
                break
            self._cut(piece, distance, candidate)
        return found

    def _cut(self, program: Program, distance: int, candidate: np.ndarray) -> None:
        """The plane that touches the ball in the candidate's direction: <u, z - x> <= distance."""
        step = candidate - self.image
        length = float(np.linalg.norm(step))
        if self.norm == "l2" and length > 0:
            unit = step / length
            program.constrain([distance, *program.blocks[0]], [1.0, *-unit], low=-float(unit @ self.image))

    def _length(self, step: np.ndarray) -> float:
        return float(np.linalg.norm(step)) if self.norm == "l2" else float(np.abs(step).max())
