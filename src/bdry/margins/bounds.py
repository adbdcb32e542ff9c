"""Linear bounds on the outputs of a piecewise linear network over a ball of images: interval arithmetic and CROWN.

Interval arithmetic (Gowal et al. 2018, arXiv 1810.12715) pushes a box forward through the network. CROWN (Zhang et al.
2018, arXiv 1811.00866) pulls the linear function that is to be bounded back to the image: a ReLU whose sign is not
settled is replaced by a line above it and a line below it, and what arrives at the image is minimised over the ball by
the dual norm. CROWN needs bounds on the inputs of the ReLUs: those of interval arithmetic ("crown_ibp") or its own,
node by node ("crown"). Any slope between 0 and 1 gives a line below a ReLU; "alpha_crown" (Xu et al. 2021, arXiv
2011.13824) improves the slopes by gradient steps.

The functions on the units of a convolution depend on a patch of the image each, so that they are pulled back as
patches (see `patches`), which costs as much as one convolution and not one for every unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..core.norms import per_sample
from .network import ChannelScale, Node, spread
from .patches import Dense, Lines, Patches, Rows

# a lower and an upper bound of each entry of a node's output, (N, ...) each
Box = tuple[Tensor, Tensor]

TINY = 1e-300
# of a patch, about: 32 channels of 5 x 5
COEFFICIENTS = 800


@dataclass(frozen=True)
class Ball:
    """The images within `radius`, (N,), of `x`, (N, C, H, W), in `norm`; of them those in [0, 1] where `clipped`."""

    x: Tensor
    radius: Tensor
    norm: str
    clipped: bool

    def hull(self) -> Box:
        """The smallest box around it; for linf it is the set itself."""
        reach = per_sample(self.radius, self.x)
        low, high = self.x - reach, self.x + reach
        return (low.clamp(0, 1), high.clamp(0, 1)) if self.clipped else (low, high)

    def minimum(self, rows: Rows) -> Tensor:
        """A lower bound of <row, z> over it for each row, (N, S, P); exact but for l2 `clipped`."""
        low, high = (rows.seen(side) for side in self.hull())
        a = rows.flat
        if self.norm == "linf":
            return torch.minimum(a * low, a * high).sum(-1)
        x, radius = rows.seen(self.x), self.radius[:, None, None]
        at_x = (a * x).sum(-1)
        best = at_x - radius * a.norm(dim=-1)
        if not self.clipped:
            return best
        # with d = z - x in the hull, every multiplier m >= 0 bounds the minimum: sum_i min (a_i d_i + m d_i^2) - m r^2
        low, high = low - x, high - x
        multiplier = a.norm(dim=-1) / (2 * radius)
        best = torch.maximum(best, at_x + torch.minimum(a * low, a * high).sum(-1))
        for _ in range(3):
            wanted = -a / (2 * multiplier[..., None] + TINY)
            d = wanted.clamp(low, high)
            value = (a * d + multiplier[..., None] * d.square()).sum(-1) - multiplier * radius.square()
            best = torch.maximum(best, at_x + value)
            # the multiplier at which the pixels that are free spend what those at the box's sides leave of the radius
            free = wanted == d
            left = (radius.square() - torch.where(free, 0.0, d).square().sum(-1)).clamp_min(0.0).sqrt()
            multiplier = torch.where(left > 0, torch.where(free, a, 0.0).norm(dim=-1) / (2 * left + TINY), multiplier)
        return best


@dataclass
class Bounds:
    """What is known of a network over a ball: a box for each node, shared by every function that is bounded.

    pulled: how many functions were pulled back for each image so far. gate: the node at which the network's first
    bends end, where there is one (see `_gate`); lines: around its entries, as functions of the image.
    """

    nodes: Sequence[Node]
    ball: Ball
    boxes: list[Box] = field(default_factory=list)
    pulled: int = 0
    gate: int | None = None
    lines: Lines | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, nodes: Sequence[Node], ball: Ball, *, refine: bool) -> Bounds:
        """By interval arithmetic; with `refine` the inputs of ReLUs and poolings by CROWN on top of it.

        In l2 what is an affine function of the image with one pixel an entry, and the next affine map, are exact.
        """
        found = cls(nodes, ball, gate=_gate(nodes))
        linear: list[bool] = []
        # the ball's image while it is an ellipsoid along the axes: centre and half axes
        ellipsoids: dict[int, tuple[Tensor, Tensor]] = {}
        bent = {node.inputs[0] for node in nodes if node.bends}
        for i, node in enumerate(nodes):
            linear.append(not node.bends and all(linear[source] for source in node.inputs))
            if not node.inputs:
                found.boxes.append(ball.hull())
                if ball.norm == "l2":
                    ellipsoids[i] = ball.x, per_sample(ball.radius, ball.x).expand_as(ball.x)
                continue
            found.boxes.append(_forward(node, [found.boxes[source] for source in node.inputs]))
            before = ellipsoids.get(node.inputs[0])
            if before is not None and node.is_affine:
                assert node.layer is not None
                if isinstance(node.layer, (ChannelScale, nn.Flatten)):
                    ellipsoids[i] = node.layer(before[0]), spread(node.layer, before[1], 1)
                centre, reach = node.layer(before[0]), spread(node.layer, before[1].square(), 2).clamp_min(0).sqrt()
                found._tighten(i, centre - reach, centre + reach)
            # where the network is linear so far the intervals are as good as what CROWN would find
            # what has bent already has a box that follows from that of its input
            elif refine and i in bent and not linear[i] and not node.bends:
                found._refine(i)
        return found

    def _tighten(self, i: int, low: Tensor, high: Tensor) -> None:
        low, high = torch.maximum(self.boxes[i][0], low), torch.minimum(self.boxes[i][1], high)
        # two sound bounds may cross by rounding
        self.boxes[i] = torch.minimum(low, high), torch.maximum(low, high)

    def _refine(self, i: int) -> None:
        """CROWN's bounds on the entries of node i: of a linear layer, on those whose sign is not settled."""
        low, high = (side.clone() for side in self.boxes[i])
        shape = self.nodes[i].shape
        if len(shape) == 3:
            channels = torch.arange(shape[0], device=low.device)
            for part in channels.split(num_at_once(low[:, 0].numel() * COEFFICIENTS, low.device)):
                rows = Patches.units(part, low)
                below, above = (self._pull(sign, i).unflatten(2, shape[1:]) for sign in (rows, rows.scaled(-1.0)))
                low[:, part], high[:, part] = torch.maximum(low[:, part], below), torch.minimum(high[:, part], -above)
            self.pulled += 2 * shape.numel()
        else:
            # a ReLU of settled sign is a line, however tight its box
            open_ones = (low < 0) & (high > 0)
            units = open_ones.any(0).nonzero()[:, 0]
            for part in units.split(num_at_once(len(low) * self._widest(), low.device)):
                dense = Dense.units(part, low)
                below, above = (self._pull(sign, i)[..., 0] for sign in (dense, dense.scaled(-1.0)))
                # settled in this image and open in another: left as it is, so that results don't depend on the batch
                here = open_ones[:, part]
                low[:, part] = torch.where(here, torch.maximum(low[:, part], below), low[:, part])
                high[:, part] = torch.where(here, torch.minimum(high[:, part], -above), high[:, part])
            self.pulled += 2 * len(units)
        self._tighten(i, low, high)

    def _widest(self) -> int:
        return max(node.shape.numel() for node in self.nodes)

    def lower(self, rows: Tensor, *, stop_at_bends: bool = False) -> Tensor:
        """A lower bound of each <row, logits> over the ball; rows (N, S, K) -> (N, S).

        stop_at_bends: the rows are pulled back to the last ReLU only and minimised in its box: interval arithmetic with
        the last layer merged into the rows (arXiv 1810.12715, section 3).
        """
        if not stop_at_bends:
            self.pulled += rows.shape[1]
        return self._pull(Dense(rows), len(self.nodes) - 1, stop_at_bends=stop_at_bends)[..., 0]

    def _pull(
        self, rows: Rows, start: int, *, stop_at_bends: bool = False, slopes: dict[int, Tensor] | None = None
    ) -> Tensor:
        """A lower bound of <row, output of node `start`>, (N, S, P).

        slopes: of the lines below ReLUs, by node, in [0, 1]; those of CROWN where there are none.
        """
        at_image, constant = self._to_image(rows, start, stop_at_bends=stop_at_bends, slopes=slopes)
        return constant if at_image is None else constant + self.ball.minimum(at_image)

    def _to_image(
        self, rows: Rows, start: int, *, stop_at_bends: bool = False, slopes: dict[int, Tensor] | None = None
    ) -> tuple[Rows | None, Tensor]:
        """Functions of the image that are nowhere above the rows, None where nothing depends on it, and constants."""
        at: dict[int, Rows] = {start: rows}
        constant = torch.zeros_like(rows.flat[..., 0])
        for i in range(start, 0, -1):
            here = at.pop(i, None)
            if here is None:
                continue
            node = self.nodes[i]
            if i == self.gate and i < start and isinstance(here, Patches):
                at[0], extra = here.composed(self._lines())
                return at[0], constant + extra
            if node.bends and stop_at_bends:
                low, high = (here.seen(side) for side in self.boxes[i])
                constant = constant + torch.minimum(here.flat * low, here.flat * high).sum(-1)
                continue
            if isinstance(node.layer, nn.ReLU):
                before, extra = here.through_relu(self.boxes[node.inputs[0]], (slopes or {}).get(i))
            elif isinstance(node.layer, nn.MaxPool2d):
                before, extra = here.through_pool(self.boxes[node.inputs[0]], int(node.layer.kernel_size))  # type: ignore[arg-type]
            elif node.layer is None:
                before, extra = here, torch.zeros_like(constant)
            else:
                before, extra = here.through_affine(node.layer, self.nodes[node.inputs[0]].shape)
            constant = constant + extra
            for source in node.inputs:
                at[source] = at[source].plus(before) if source in at else before
        return at.get(0), constant

    def _lines(self) -> Lines:
        """Around each entry of the gate: the bends before it are of one entry or window each, so that they compose."""
        if self.lines is None:
            assert self.gate is not None
            like = self.boxes[self.gate][0]
            units = Patches.units(torch.arange(like.shape[1], device=like.device), like)
            (below, low), (minus_above, minus_high) = (
                self._to_image(rows, self.gate) for rows in (units, units.scaled(-1.0))
            )
            assert isinstance(below, Patches) and isinstance(minus_above, Patches)
            self.lines = (below, low), (minus_above.scaled(-1.0), -minus_high)
        return self.lines

    def improved(self, rows: Tensor, *, steps: int, enough: Tensor, rate: float = 0.25) -> Tensor:
        """`lower` by the best slopes that some gradient steps find, (N, S); slopes of their own for each row.

        Args:
            steps: of Adam on the slopes, projected onto [0, 1].
            enough: (N,), the bound above which a row needs no more improving; steps end when all rows are there.
        """
        relus = [i for i, node in enumerate(self.nodes) if isinstance(node.layer, nn.ReLU)]
        if not relus:
            return self.lower(rows)
        n, s = rows.shape[:2]
        slopes = {}
        for i in relus:
            low, high = self.boxes[self.nodes[i].inputs[0]]
            slope = (high > -low).to(rows)[:, None].expand(n, s, *low.shape[1:]).contiguous()
            slopes[i] = slope.requires_grad_(True)
        optimiser = torch.optim.Adam(list(slopes.values()), lr=rate)
        best = torch.full_like(rows[..., 0], -torch.inf)
        for step in range(steps + 1):
            with torch.enable_grad():
                value = self._pull(Dense(rows), len(self.nodes) - 1, slopes=slopes)[..., 0]
            self.pulled += s
            best = torch.maximum(best, value.detach())
            if step == steps or bool((best > enough[:, None]).all()):
                break
            with torch.enable_grad():
                loss = -value[best <= enough[:, None]].sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for slope in slopes.values():
                    slope.clamp_(0, 1)
            for group in optimiser.param_groups:
                group["lr"] *= 0.98
        return best


@torch.no_grad()
def lower_bounds(
    nodes: Sequence[Node], ball: Ball, rows: Tensor, method: str, *, enough: Tensor | None = None, slope_steps: int = 20
) -> tuple[Tensor, int]:
    """A lower bound of each <row, logits> over the ball; rows (N, S, K) -> bounds (N, S).

    The chain ibp, crown_ibp, crown, alpha_crown never gets looser: a later method also takes the bounds of the earlier
    ones.

    Args:
        nodes: of `network.trace`.
        ball: the images.
        rows: what is bounded.
        method: one of `names.BOUND_METHODS`.
        enough: (N,); a row above it is not improved further; None: everything is.
        slope_steps: of alpha_crown, gradient steps on the slopes at most.

    Returns:
        The bounds; how many rows were pulled back through the network, or a part of it, for each image.

    Reference: arXiv 1811.00866, theorem 3.2 and section 3.3 with the adaptive slope (CROWN-Ada); arXiv 2011.13824.
    Differs: the first layer's intervals are exact in l2 too (dual norm); max-pooling, which the first paper leaves out,
    has the lines of `patches.pool_lines`; over an l2 ball in the box a Lagrangian bound is used (see `Ball.minimum`).
    The slopes of the functions that bound inner nodes are not improved: these bounds are shared by all rows.
    """
    needed = torch.full_like(ball.radius, torch.inf) if enough is None else enough
    bounds = Bounds.of(nodes, ball, refine=False)
    best = bounds.lower(rows, stop_at_bends=True)
    if method == "ibp":
        return best, 0
    best = torch.maximum(best, bounds.lower(rows))
    if method == "crown_ibp" or bool((best > needed[:, None]).all()):
        return best, bounds.pulled
    refined = Bounds.of(nodes, ball, refine=True)
    best = torch.maximum(best, refined.lower(rows))
    if method == "alpha_crown" and not bool((best > needed[:, None]).all()):
        best = torch.maximum(best, refined.improved(rows, steps=slope_steps, enough=needed))
    return best, bounds.pulled + refined.pulled


def _gate(nodes: Sequence[Node]) -> int | None:
    """The last of the first bends, where they end a chain that all that follows goes through, before any flattening."""
    last = None
    for i, node in enumerate(nodes[1:], 1):
        if node.inputs != (i - 1,) or (last is not None and not node.bends):
            break
        last = i if node.bends else last
    if last is None or len(nodes[last].shape) != 3:
        return None
    passed = any(source < last for node in nodes[last + 1 :] for source in node.inputs)
    return None if passed else last


def _forward(node: Node, boxes: list[Box]) -> Box:
    """The box of a node's output from those of its inputs."""
    if node.layer is None:
        (low_a, high_a), (low_b, high_b) = boxes
        return low_a + low_b, high_a + high_b
    low, high = boxes[0]
    if node.bends or isinstance(node.layer, nn.Flatten):
        return node.layer(low), node.layer(high)
    centre, reach = node.layer((low + high) / 2), spread(node.layer, (high - low) / 2, 1)
    return centre - reach, centre + reach


def num_at_once(numbers: int, device: torch.device) -> int:
    """How many parts of `numbers` each make a tensor that suits the device: some MB, or 256 MiB on a GPU."""
    return max(1, 2 ** (22 if device.type == "cpu" else 25) // max(1, numbers))
