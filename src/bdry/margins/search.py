"""What the estimators share: a memory of the best point met, its costs and failures, the way to a result."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.halfspace import UNIT_BOX, project_hyperplane
from ..core.measuring import Model, evaluate, logits_in_float64, logits_of
from ..core.norms import dual_norm, per_sample
from ..core.norms import norm as norm_of
from ..core.segments import NEAR, along, batch_sizes, first_crossing, gap, pick, rounding
from .result import MarginResult
from .settle import MOST_ROUNDINGS, settle
from .twins import twins

# images that are looked at in another batch too, the number of copies where few come together, and how many times what
# moves there may move elsewhere
TWICE, COPIES, ELSEWHERE = 4, 8, 4
# how many times what a few images' logits differ from those in float64 others may
OTHERS = 2
# closing: feet aim beyond the linearised boundary by this share of the gap at the image; classes tried; steps that are
# taken where nothing was found
CLOSE_AIM, CLOSE_CLASSES, NEWTON_STEPS = 1e-3, 5, 10


def cosine(step: int, steps: int, first: float, last: float) -> float:
    """From `first` at step 0 to `last` at the last of `steps`, along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * step / max(steps - 1, 1))) / 2


class Search:
    """What a search around N images has met so far: the nearest point beyond the boundary, and what it cost.

    distance: (N,), of `best`, (N, ...), in `norm`; infinite where nothing has been found yet.
    ignored: (N, K) bool, twins: classes that are the same function as the start class. `look` puts their logits at
        -inf, where the model itself may have put classes that it masks: neither counts for a boundary.
    logits: (N, K), at the images. start: (N,), the start classes. start_gap: (N,), the gap at the images.
    noise: (N,), how much rounding may move a gap. has_float64: whether the model's logits in float64 are known.
    iterations, forwards, backwards: (N,) int64.

    With `graph`, `at_images` needs no pass of its own.
    """

    def __init__(
        self,
        model: Model,
        x: Tensor,
        start_class: Tensor | None,
        *,
        norm: str,
        towards: Tensor | None,
        clipped: bool = False,
        graph: bool = False,
    ) -> None:
        self.model, self.x, self.norm, self.towards, self.clipped = model, x.detach(), norm, towards, clipped
        self.forwards, self.backwards, self.iterations = (
            torch.zeros(len(x), dtype=torch.int64, device=x.device) for _ in range(3)
        )
        self.leaf, self.leaf_logits = evaluate(model, self.x, graph=graph)
        self.forwards += 1
        logits = self.leaf_logits.detach()
        self.start = logits.argmax(1) if start_class is None else start_class
        own = logits.gather(1, self.start[:, None])[:, 0]
        self.finite = self.x.flatten(1).isfinite().all(1) & own.isfinite() & (logits < torch.inf).all(1)
        self.ignored = torch.zeros_like(logits, dtype=torch.bool)
        self.ignored = twins(self, logits, self.start if towards is None else towards)
        self.logits = logits.masked_fill(self.ignored, -torch.inf)
        self.start_gap = gap(self.logits, self.start, towards)
        self.has_float64 = True
        self.noise = rounding(self.logits) * self._moved()
        self.best, self.best_gap = self.x.clone(), self.start_gap.clone()
        self.distance = torch.where(self.finite & (self.start_gap < 0), 0.0, torch.inf).to(x.dtype)
        self.overshot = self.distance.clone()
        self.boundary_class = torch.where(self.distance == 0, self.logits.argmax(1), -1)

    def open_rows(self) -> Tensor:
        """The images that are numbers and not beyond the boundary themselves: indices, (R,)."""
        return (self.finite & (self.distance > 0)).nonzero()[:, 0]

    def at_images(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The images `rows` as a leaf, and the logits there: without a pass where no image is left out."""
        if len(rows) < len(self.x) or not self.leaf.requires_grad:
            return self.look(rows, self.x[rows])[:2]
        with torch.enable_grad():
            return self.leaf, self.leaf_logits.masked_fill(self.ignored, -torch.inf)

    def look(self, rows: Tensor, z: Tensor, *, graph: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """The points z, (R, ...), of images `rows` as a leaf, the logits there, and the gap, (R,)."""
        if len(rows):
            z, logits = evaluate(self.model, z, graph=graph)
        else:
            # some networks, transformers among them, take no empty batch
            z = z.detach().requires_grad_(graph)
            logits = self.logits[rows] + z.flatten(1).sum(1, keepdim=True)
        self.forwards.index_add_(0, rows, torch.ones_like(rows))
        with torch.set_grad_enabled(graph):
            logits = logits.masked_fill(self.ignored[rows], -torch.inf)
        return z, logits, gap(logits.detach(), self.start[rows], pick(self.towards, rows))

    def evaluate(self, rows: Tensor, z: Tensor, *, graph: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """As `look`, but which are beyond, (R,) bool; of these, what is nearer than the best is remembered."""
        z, logits, value = self.look(rows, z, graph=graph)
        beyond = self.is_beyond(rows, value)
        distance = norm_of(z.detach() - self.x[rows], self.norm)
        self.remember(rows, z.detach(), torch.where(beyond, distance, torch.inf), value)
        return z, logits, beyond

    def is_beyond(self, rows: Tensor, value: Tensor) -> Tensor:
        """Whether points of images `rows` with the gap `value`, (R,), are beyond the boundary, (R,) bool.

        By more than rounding, which may vanish in a batch of another size: a way that ended there would be lost. Of
        images near the boundary no point is, and `settle` tries them.
        """
        noise = self.noise[rows]
        return value < torch.where(self.start_gap[rows] > NEAR * noise, -noise, 0.0)

    def largest_gaps(self, rows: Tensor, z: Tensor) -> Tensor:
        """The largest gap of each of the points z, (R, ...), in batches of several sizes of copies of itself, (R,)."""
        largest = []
        for size in batch_sizes(len(self.x)):
            copies = (point.expand(size, *point.shape) for point in z)
            largest.append(self.gaps(rows.repeat_interleave(size), copies).reshape(-1, size).amax(1))
        return torch.stack(largest).amax(0)

    def gaps(self, rows: Tensor, batches: Iterable[Tensor]) -> Tensor:
        """The gap at each point of the batches, (R,), of images `rows`: as `look` at one after the other."""
        logits = torch.cat([evaluate(self.model, batch, graph=False)[1] for batch in batches])
        self.forwards.index_add_(0, rows, torch.ones_like(rows))
        return gap(logits.masked_fill(self.ignored[rows], -torch.inf), self.start[rows], pick(self.towards, rows))

    def remember(self, rows: Tensor, z: Tensor, distance: Tensor, value: Tensor) -> None:
        """Keeps those of the points z, (R, ...), of gap `value`, (R,), that are nearer than the best of their images.

        An image may stand in several rows.
        """
        nearest = self.distance.scatter_reduce(0, rows, distance, "amin")
        better = (distance < self.distance[rows]) & (distance == nearest[rows])
        kept = rows[better]
        self.best[kept], self.distance[kept], self.best_gap[kept] = z[better], distance[better], value[better]
        self.boundary_class[kept] = -1

    def loss(self, rows: Tensor, logits: Tensor, name: str) -> Tensor:
        """What falls on the way to the boundary, (R,): "gap", in logits; "dlr"; or "ce", minus the cross-entropy.

        dlr: the gap over the largest minus the third largest logit (arXiv 2003.01690, section 4.2). Towards a class,
        ce is the cross-entropy on that class.

        Raises:
            ValueError: there is no such loss, or dlr is asked for with two classes.
        """
        start, towards = self.start[rows], pick(self.towards, rows)
        with torch.enable_grad():
            if name == "ce":
                if towards is None:
                    return -F.cross_entropy(logits, start, reduction="none")
                return F.cross_entropy(logits, towards, reduction="none")
            value = gap(logits, start, towards)
            if name == "gap":
                return value
            if name != "dlr":
                raise ValueError(f"loss={name!r}: must be one of gap, dlr, ce")
            if logits.shape[1] < 3:
                raise ValueError(
                    f"loss='dlr' needs three classes, the model has {logits.shape[1]}; loss='gap' does two"
                )
            top = logits.topk(3, dim=1).values
            return value / (top[:, 0] - top[:, 2]).clamp_min(torch.finfo(value.dtype).tiny)

    def gradient(self, rows: Tensor, z: Tensor, value: Tensor, *, retain: bool = False) -> tuple[Tensor, Tensor]:
        """The gradient of `value` at the leaf z, (R, ...), and where both are finite, (R,) bool.

        `retain` keeps the graph for another gradient.

        Raises:
            ValueError: the model's output does not lead back to its input.
        """
        if not value.requires_grad:
            raise ValueError("the model's logits have no gradients: its forward pass must not be run under no_grad")
        found = torch.autograd.grad(value.sum(), z, retain_graph=retain)[0]
        self.backwards.index_add_(0, rows, torch.ones_like(rows))
        return found, value.detach().isfinite() & found.flatten(1).isfinite().all(1)

    def rivals(self, rows: Tensor, logits: Tensor, count: int | None = None) -> Tensor:
        """The `count` classes beside the start class with the largest logits, (R, C); `towards` alone where given."""
        if self.towards is not None:
            return self.towards[rows, None]
        others = logits.shape[1] - 1
        masked = logits.detach().scatter(1, self.start[rows, None], -torch.inf)
        return masked.topk(min(count or others, others), dim=1).indices

    def differences(self, rows: Tensor, logits: Tensor, classes: Tensor) -> Tensor:
        """f_k - f_start for the `classes` k, (R, C); with `towards`, f_k - f of the largest class beside `towards`."""
        reference = self.start[rows]
        if self.towards is not None:
            reference = logits.detach().scatter(1, self.towards[rows, None], -torch.inf).argmax(1)
        with torch.enable_grad():
            return logits.gather(1, classes) - logits.gather(1, reference[:, None])

    def nearest_boundary(
        self,
        rows: Tensor,
        z: Tensor,
        logits: Tensor,
        classes: Tensor,
        *,
        origin: Tensor | None = None,
        retain: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Which linearised boundary with the `classes`, (R, C), at the leaf z is nearest to `origin`, by default z.

        Gives its f_k - f_start at z, (R,), and its gradient w, (R, ...); its distance, (R,), infinite where no class
        has a gradient and a difference that are numbers; and the dual norms of all gradients, (R, C).
        `retain` keeps the graph for another gradient.
        """
        differences = self.differences(rows, logits, classes)
        value = torch.zeros_like(differences[:, 0], requires_grad=False)
        nearest, distance, slopes = torch.zeros_like(z, requires_grad=False), torch.full_like(value, torch.inf), []
        for column in range(classes.shape[1]):
            w, usable = self.gradient(rows, z, differences[:, column], retain=retain or column < classes.shape[1] - 1)
            slope, difference = dual_norm(w, self.norm), differences[:, column].detach()
            ahead = difference if origin is None else difference + (w * (origin - z.detach())).flatten(1).sum(1)
            there = torch.where(usable & (slope > 0), ahead.abs() / slope, torch.inf)
            nearer = there < distance
            value, distance = torch.where(nearer, difference, value), torch.minimum(there, distance)
            nearest = torch.where(per_sample(nearer, z), w, nearest)
            slopes.append(slope)
        return value, nearest, distance, torch.stack(slopes, 1)

    def step(self, origin: Tensor, z: Tensor, value: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """From `origin` to the nearest point of the hyperplane value + <w, y - z> = 0, in the box if asked; (R, ...).

        Also which rows reach it, (R,) bool: see `core.halfspace.project_hyperplane`.
        """
        excess = value if origin is z else value + (w * (origin - z)).flatten(1).sum(1)
        return project_hyperplane(origin, w, excess, self.norm, UNIT_BOX if self.clipped else None)

    def close(self, rounds: int = 2) -> Search:
        """Bisects, then steps from each image to the nearest of the boundaries linearised at its point; itself.

        What is nearer and beyond is the new point. Where the boundary is flat this is the margin, whichever way and
        however far off a point was found. Images of which none was found, as where the boundary is farther than all
        steps together or behind it is less room than a step, take Newton's steps first.
        """
        self._newton()
        for _ in range(rounds):
            self.bisect()
            rows = ((self.boundary_class >= 0) & (self.distance > 0)).nonzero()[:, 0]
            if rows.numel() == 0:
                break
            z, logits, _ = self.look(rows, self.best[rows])
            classes = self.rivals(rows, logits, CLOSE_CLASSES)
            value, w, distance, _ = self.nearest_boundary(rows, z, logits, classes, origin=self.x[rows])
            nearer = distance < self.distance[rows] * (1 - 1e-4)
            rows, z, value, w = rows[nearer], z.detach()[nearer], value[nearer], w[nearer]
            aim = torch.maximum(CLOSE_AIM * self.start_gap[rows], 2 * self.noise[rows])
            origin = self.x[rows]
            self.evaluate(rows, origin + self.step(origin, z, value - aim, w)[0], graph=False)
        return self

    def _newton(self) -> None:
        """Steps from images without a point to the nearest linearised boundary, until one is beyond.

        Each goes a little further, some roundings of a pixel at first: else rounding may leave nothing of it.
        """
        rows = self.open_rows()
        rows = rows[self.distance[rows].isinf()]
        z = self.x[rows]
        for number in range(NEWTON_STEPS):
            if rows.numel() == 0:
                return
            leaf, logits, _ = self.look(rows, z)
            value, w, distance, _ = self.nearest_boundary(rows, leaf, logits, self.rivals(rows, logits, CLOSE_CLASSES))
            further = torch.maximum(
                2 * self.noise[rows], 2**number * torch.finfo(z.dtype).eps * dual_norm(w, self.norm)
            )
            z = z + self.step(z, z, (1 + CLOSE_AIM) * value - further, w)[0]
            beyond = self.evaluate(rows, z, graph=False)[2]
            left = ~beyond & distance.isfinite()
            rows, z = rows[left], z[left]

    def result(self) -> MarginResult:
        """Bisection between each image and the best point; rows without one are failures.

        An image that has another label than its start class itself is its own point, at distance 0.
        """
        self.bisect()
        settle(self)
        success = self.boundary_class >= 0
        nothing = torch.full_like(self.distance, torch.nan)
        return MarginResult(
            margin=torch.where(success, self.distance, nothing),
            lower=nothing.clone(),
            overshot=torch.where(success, self.overshot, nothing),
            point=torch.where(per_sample(success, self.x), self.best, torch.nan),
            start_class=self.start,
            boundary_class=self.boundary_class,
            success=success,
            iterations=self.iterations,
            forwards=self.forwards,
            backwards=self.backwards,
        )

    def bisect(self) -> None:
        """Brings every best point that is new to just beyond the boundary, on the segment from its image."""
        rows = (self.distance.isfinite() & (self.boundary_class < 0)).nonzero()[:, 0]
        x = self.x[rows]
        delta = self.best[rows] - x
        t, label, spent = first_crossing(
            self.model,
            x,
            delta,
            self.start[rows],
            towards=pick(self.towards, rows),
            gap_at_x=self.start_gap[rows],
            gap_at_end=self.best_gap[rows],
            clipped=self.clipped,
            ignored=self.ignored[rows],
            noise=self.noise[rows],
        )
        self.forwards.index_add_(0, rows, spent)
        point = along(x, delta, t, self.clipped)
        length = norm_of(point - x, self.norm)
        self.overshot[rows] = torch.maximum(norm_of(delta, self.norm), length)
        self.best[rows], self.distance[rows] = point, torch.where(label >= 0, length, torch.inf)
        self.boundary_class[rows] = label

    def look_in_float64(self, rows: Tensor, z: Tensor) -> Tensor | None:
        """The logits at the points z, (R, ...), of images `rows` in float64; None where they are not known."""
        logits = logits_in_float64(self.model, z) if self.has_float64 else None
        if logits is None:
            return None
        self.forwards.index_add_(0, rows, torch.ones_like(rows))
        return logits.masked_fill(self.ignored[rows], -torch.inf)

    @torch.no_grad()
    def _moved(self) -> float:
        """How many times what the size of the logits says may rounding move their differences; at least 1.

        Sums inside a network may cancel: then its logits are rounded by more. A few images are looked at in other
        batches, and in float64.
        """
        most = 1.0
        rows = self.finite.nonzero()[:TWICE, 0]
        looks = [(row, 1) for row in rows] if len(self.x) > 1 else []
        looks += [(row, COPIES) for row in rows[:1]] if len(self.x) < COPIES else []
        for row, copies in looks:
            logits = logits_of(self.model, self.x[row].expand(copies, *self.x.shape[1:]))
            self.forwards[row] += copies
            most = max(most, ELSEWHERE * self._roundings(row[None], logits[:1]))
        exact = self.look_in_float64(rows, self.x[rows]) if len(rows) else None
        if exact is not None:
            roundings = self._roundings(rows, exact)
            # what is further off does not compute in float32
            self.has_float64 = roundings <= MOST_ROUNDINGS
            most = max(most, OTHERS * roundings) if self.has_float64 else most
        return most

    def _roundings(self, rows: Tensor, logits: Tensor) -> float:
        """By how many roundings of the logits a difference with the start class is another in `logits`, (R, K)."""
        moved = logits - self.leaf_logits[rows].detach()
        moved = (moved - moved.gather(1, self.start[rows, None])).nan_to_num(0.0, 0.0, 0.0).abs().amax(1)
        return float((moved / rounding(self.logits[rows]).clamp_min(torch.finfo(self.x.dtype).tiny)).amax())
