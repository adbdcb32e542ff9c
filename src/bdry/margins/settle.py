"""The last step of a margin that the dtype has few digits for: very near images, logits that are large beside the gap.

There a bisection ends wherever rounding turns the label, which is some per cent off or more. Instead the boundary is
placed by the model's logits in float64 (where they are not known, by the mean over points that are each rounded in
another way), and of many points of the dtype's grid just beyond it the nearest is taken whose label differs in batches
of several sizes. Some of these points are moved along the boundary, the way on which the logits change most: where
logits are large, the label turns only at few of their values. Rounding moves the gaps of near points alike: where it
keeps them all on this side, further points are drawn around those that came nearest to another label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..core.norms import dual_norm, per_sample
from ..core.norms import norm as norm_of
from ..core.seeds import generator
from ..core.segments import ALWAYS, batch_sizes, rounding

if TYPE_CHECKING:
    from .search import Search

# digits are few where the gap at the image is below so many roundings of the logits, or the margin below so many
# roundings of a pixel and so many more for the root of the number of pixels, whose roundings add up in l2
FEW_LOGIT_ROUNDINGS, FEW_PIXEL_ROUNDINGS, PER_ROOT_PIXEL = 64, 64, 4
# beyond so many roundings of the logits it is another dtype inside that moves them, whose digits are few everywhere
MOST_ROUNDINGS = 128
# linearised boundaries that are compared
CLASSES = 5
# points that place the boundary; those considered beyond it, as far as so many numbers hold them; those looked at
PLACING, CONSIDERED, MOST_NUMBERS, LOOKED_AT = 128, 2048, 2**24, 256
# rounds of these that are made at most, until a point is no farther than the boundary by more than this share; images
# of more pixels have one, since a round is thousands of forward passes and their networks are large
ROUNDS, GOOD, MANY_PIXELS = 16, 0.04, 64
# a round is drawn around so many points of the one before: the shares of their way off the straight one and of the
# drawn way
PARENTS, KEPT, DRAWN = 8, 1.0, 0.4
# placed points differ by rounding alone where they differ by no more than so many times what it moves a gap by
SLACK = 4
# points that are looked at in batches of copies of themselves, in the first round and in the others
TRIED_FIRST, TRIED = 32, 128
# shares of the margin: how much longer than to the boundary, how far along it, how far in a random direction
LONGER, ALONG, ASIDE = 0.06, 0.3, 0.25
# points that place the boundary lie at least so many roundings of a pixel aside, or they are all rounded alike
APART = 32


class _Draws(NamedTuple):
    """Of P points beyond the boundary, the same for every image: a result does not depend on the batch.

    longer, along: (P, ...) of size 1. aside: (P, ...). In shares of the margin.
    """

    longer: Tensor
    along: Tensor
    aside: Tensor


def settle(search: Search) -> None:
    """Moves the points of those images of `search` for which digits are few; all points have been bisected."""
    x = search.x
    pixels = x[:1].numel()
    near = (FEW_PIXEL_ROUNDINGS + PER_ROOT_PIXEL * pixels**0.5) * torch.finfo(x.dtype).eps
    noise = torch.minimum(search.noise, MOST_ROUNDINGS * rounding(search.logits))
    few = (search.start_gap < FEW_LOGIT_ROUNDINGS * noise) | (search.distance < near)
    rows = (few & (search.boundary_class >= 0) & (search.distance > 0)).nonzero()[:, 0]
    if len(rows) == 0:
        return
    rng = generator(0, "settle")
    around = torch.randn((PLACING, *x.shape[1:]), generator=rng).to(x)
    count = min(CONSIDERED, max(LOOKED_AT, MOST_NUMBERS // pixels))
    draws = [_draw(x, search.norm, count, rng) for _ in range(ROUNDS if pixels <= MANY_PIXELS else 1)]
    for row in rows.split(1):
        boundary = _Boundary.of(search, row)
        if boundary is not None:
            at_x, is_flat = boundary.placed(around)
            step = search.step(search.x[row], search.x[row], at_x[None].to(x.dtype), boundary.w)[0]
            size, most = norm_of(step, search.norm), search.distance[row]
            if float(at_x) == 0:
                continue
            if is_flat:
                # by so much rounding may have put the point too near
                most = most + SLACK * search.noise[row] / dual_norm(boundary.w, search.norm)
            parents = None
            for drawn in draws:
                points = boundary.beyond(step, at_x, drawn, parents)
                if parents is None and len(points):
                    # the grid may hold no point as near as the boundary: the points come by their distance
                    size = torch.maximum(size, norm_of(points[:1] - search.x[row], search.norm))
                most, parents = boundary.take(points, at_x, step, most, parents)
                if bool(most <= (1 + GOOD) * size) or len(parents) == 0:
                    break


def _draw(x: Tensor, norm: str, count: int, rng: torch.Generator) -> _Draws:
    aside = torch.randn((count, *x.shape[1:]), generator=rng).to(x)
    longer, along, out = torch.rand((3, count), generator=rng).to(x)
    kind = torch.arange(count, device=x.device) % 4
    # a quarter straight on, up to twice as far; a quarter along the boundary; the others aside, half of them along too
    return _Draws(
        per_sample(torch.where(kind == 0, longer.square(), LONGER * longer), x),
        per_sample(torch.where(kind % 2 == 1, ALONG * (2 * along - 1), 0.0), x),
        per_sample(torch.where(kind >= 2, ASIDE * out / norm_of(aside, norm), 0.0), x) * aside,
    )


class _Boundary(NamedTuple):
    """The linearised boundary with the class `other`, (1,), near one image, `row`, (1,), of a search.

    w: (1, ...), the gradient of f_other - f_start. tangent: (1, ...), that of f_other along the boundary.
    """

    search: Search
    row: Tensor
    other: Tensor
    w: Tensor
    tangent: Tensor

    @classmethod
    def of(cls, search: Search, row: Tensor) -> _Boundary | None:
        """The one that is nearest to the image, seen from its point; None where nothing has a gradient."""
        leaf, logits, _ = search.look(row, search.best[row])
        classes = search.rivals(row, logits, CLASSES)
        value, w, distance, _ = search.nearest_boundary(row, leaf, logits, classes, origin=search.x[row], retain=True)
        other = classes[:, (search.differences(row, logits, classes)[0] - value).abs().argmin()]
        upwards, usable = search.gradient(row, leaf, logits.gather(1, other[:, None])[:, 0])
        if not bool(distance.isfinite() & usable):
            return None
        steep, flat = w.double(), upwards.double()
        return cls(search, row, other, w, (flat - (flat * steep).sum() / steep.square().sum() * steep).to(w.dtype))

    def ahead(self, points: Tensor) -> Tensor:
        """By how much the linearised difference at the points, (P, ...), is more than at the image, (P,); float64."""
        return ((points - self.search.x[self.row]).double() * self.w.double()).flatten(1).sum(1)

    def placed(self, around: Tensor) -> tuple[Tensor, bool]:
        """The difference at the image by the points on the way and beyond, each moved by a draw: their mean in float64.

        The model's steps are in float64 too, where it has them. Also whether they differ by no more than rounding.
        """
        search, x = self.search, self.search.x[self.row]
        apart = ASIDE * search.distance[self.row] / norm_of(around[:1], search.norm)
        share = per_sample(torch.linspace(0, 2, len(around), dtype=x.dtype, device=x.device), x)
        moved = apart.clamp_min(APART * torch.finfo(x.dtype).eps) * around
        points = _boxed(search, x + share * (search.best[self.row] - x) + moved)
        seen = []
        for part in points.split(max(ALWAYS, len(search.x))):
            rows = self.row.expand(len(part))
            logits = search.look_in_float64(rows, part)
            if logits is None:
                logits = search.look(rows, part, graph=False)[1]
            seen.append(search.differences(rows, logits, self.other.expand(len(part))[:, None])[:, 0])
        values = torch.cat(seen).double() - self.ahead(points)
        return values.mean(), bool(values.std() <= SLACK * search.noise[self.row])

    def beyond(self, step: Tensor, at_x: Tensor, draws: _Draws, parents: Tensor | None) -> Tensor:
        """Points of the dtype's grid that the linearised boundary leaves beyond it, the nearest more often; (P, ...).

        step: (1, ...), to the boundary. at_x: the difference at the image. parents: (Q, ...), ways off the straight one
        around which to draw; None: around it.
        """
        search, x = self.search, self.search.x[self.row]
        size, tiny = norm_of(step, search.norm), torch.finfo(x.dtype).tiny
        tangent = self.tangent / self.tangent.abs().amax().clamp_min(tiny)
        tangent = tangent / norm_of(tangent, search.norm).clamp_min(tiny)
        off = size * (draws.along * tangent + draws.aside)
        if parents is not None:
            off = DRAWN * off + KEPT * parents[torch.arange(len(off), device=x.device) % len(parents)]
        moved = (1 + draws.longer) * step + off
        points = x + moved
        if search.norm == "linf":
            length = size * (1 + draws.longer)
            points = x + torch.minimum(torch.maximum(moved, -length), length)
            # rounded towards the image: one coordinate that is farther than the others makes the whole point farther
            points = torch.where((points - x).abs() > length, torch.nextafter(points, x), points)
        points = _boxed(search, points)
        distance = norm_of(points - x, search.norm)
        likely = (distance > 0) & (self.ahead(points) > -at_x)
        points, distance = points[likely], distance[likely]
        near = distance < (1 + LONGER) * torch.maximum(size, distance.amin()) if len(distance) else likely[:0]
        kept = max(int(near.sum()), len(points) // 2, LOOKED_AT)
        points = points[distance.argsort(stable=True)[:kept]]
        return points[:: max(1, len(points) // LOOKED_AT)]

    def take(
        self, points: Tensor, at_x: Tensor, step: Tensor, most: Tensor, parents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Takes the nearest of the points, and of the one before, whose label differs for sure, and gives its distance.

        most: (1,), how far it may be, which is given back where there is none. Also ways off the straight one,
        (Q, ...), on which the label should differ soonest: of the points and of the `parents`.
        """
        search, x, row = self.search, self.search.x[self.row], self.row
        points = torch.cat([search.best[row], points])
        if parents is not None:
            points = torch.cat([points, _boxed(search, x + step + parents)])
        # at first the cheapest way to look; where that was not enough, as every size of batch shows them
        sizes, tried = [max(ALWAYS, len(search.x))], TRIED_FIRST
        if parents is not None:
            sizes, tried = batch_sizes(len(search.x)), TRIED
        looks = torch.stack([search.gaps(row.expand(len(points)), points.split(size)) for size in sizes]).amax(0)
        points = points[self.later(points, looks, at_x, step)[0].argsort(stable=True)[:tried]]
        gaps = search.largest_gaps(row.expand(len(points)), points)
        later, off = self.later(points, gaps, at_x, step)
        distance = norm_of(points - x, search.norm).masked_fill((gaps >= 0) | (self.ahead(points) <= -at_x), torch.inf)
        place = distance.argmin()
        if bool(distance[place] <= most):
            most = distance[place][None]
            search.best[row], search.distance[row] = points[place], most
            search.boundary_class[row] = search.look(row, points[place][None], graph=False)[1].argmax(1)
            search.overshot[row] = torch.maximum(search.overshot[row], most)
        return most, off[later.argsort(stable=True)[:PARENTS]]

    def later(self, points: Tensor, gaps: Tensor, at_x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """How far along each point's way the label differs as its gap tells, (P,), and its way off the straight one."""
        share, more = (per_sample((part / -at_x).to(points.dtype), points) for part in (self.ahead(points), gaps))
        off = points - self.search.x[self.row] - share * step
        return norm_of((share + more).clamp_min(1) * step + off, self.search.norm), off


def _boxed(search: Search, points: Tensor) -> Tensor:
    return points.clamp(0, 1) if search.clipped else points
