"""The last step of a margin that the dtype has few digits for: very near images, logits that are large beside the gap.

There a bisection ends wherever rounding turns the label, which is some per cent off or more. Instead the boundary is
placed by the model's logits in float64 (where they are not known, by the mean over points that are each rounded in
another way), and of many points of the dtype's grid just beyond it the nearest is taken whose label differs in batches
of several sizes. Some of these points are moved along the boundary, the way on which the logits change most: where
logits are large, the label turns only at few of their values. From the nearest point a search goes on over the grid:
three of its pixels are moved by one step each, beside points drawn anew, as long as that finds a nearer point of
another label. Rounding may keep the label of nearly all points beyond the boundary; moves find the few that draws miss,
and draws those of few pixels, where a move changes much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..core.norms import dual_norm, per_sample
from ..core.norms import norm as norm_of
from ..core.seeds import generator
from ..core.segments import ALWAYS, rounding

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
# the search over the grid ends where the point is farther than the boundary by no more than this share, after so many
# rounds, or after so many without a nearer point; images of more pixels have no search, since a round is thousands of
# forward passes and their networks are large
GOOD, ROUNDS, IDLE_ROUNDS, MANY_PIXELS = 0.03, 64, 8, 64
# placed points differ by rounding alone where they differ by no more than so many times what it moves a gap by
SLACK = 4
# points whose label is tried in batches of copies of themselves, the nearest first
TRIED = 128
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


class _Moves(NamedTuple):
    """Of M moves over the dtype's grid, the same for every image.

    inwards: (M,), the pixel that is moved towards the image. others: (2, M), those that are moved up or down. up:
    (2, M), bool, which way. held: (M,), in linf the share of the way from the point's distance to the boundary's beyond
    which no pixel is left.
    """

    inwards: Tensor
    others: Tensor
    up: Tensor
    held: Tensor

    @classmethod
    def draw(cls, x: Tensor, count: int, rng: torch.Generator) -> _Moves:
        """`count` moves of the images x, (N, ...)."""
        pixels = torch.randint(x[:1].numel(), (3, count), generator=rng).to(x.device)
        share = torch.rand((3, count), generator=rng).to(x)
        return cls(pixels[0], pixels[1:], share[1:] < 0.5, share[0])


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
    draws = _draw(x, search.norm, count, rng)
    # drawn when the first image asks for them, in an order that does not depend on which image that is
    rounds: list[tuple[_Draws, _Moves]] = []
    for row in rows.split(1):
        boundary = _Boundary.of(search, row)
        if boundary is None:
            continue
        at_x, is_flat = boundary.placed(around)
        step = search.step(search.x[row], search.x[row], at_x[None].to(x.dtype), boundary.w)[0]
        size, most = norm_of(step, search.norm), search.distance[row]
        if float(at_x) == 0:
            continue
        if is_flat:
            # by so much rounding may have put the point too near
            most = most + SLACK * search.noise[row] / dual_norm(boundary.w, search.norm)
        points = boundary.beyond(step, at_x, draws)
        if len(points):
            # the grid may hold no point as near as the boundary: the points come by their distance
            size = torch.maximum(size, norm_of(points[:1] - search.x[row], search.norm))
        most = boundary.take(points, most)
        idle = 0
        for number in range(ROUNDS if pixels <= MANY_PIXELS else 0):
            if bool(most <= (1 + GOOD) * size) or idle == IDLE_ROUNDS:
                break
            if number == len(rounds):
                rounds.append((_draw(x, search.norm, count, rng), _Moves.draw(x, count, rng)))
            further, moves = rounds[number]
            points = torch.cat([boundary.beyond(step, at_x, further), boundary.moved(at_x, size, moves)])
            before, most = most, boundary.take(points, most)
            idle = idle + 1 if bool(most == before) else 0


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

    def beyond(self, step: Tensor, at_x: Tensor, draws: _Draws) -> Tensor:
        """Points of the dtype's grid that the linearised boundary leaves beyond it, the nearest more often; (P, ...).

        step: (1, ...), to the boundary. at_x: the difference at the image.
        """
        search, x = self.search, self.search.x[self.row]
        size, tiny = norm_of(step, search.norm), torch.finfo(x.dtype).tiny
        tangent = self.tangent / self.tangent.abs().amax().clamp_min(tiny)
        tangent = tangent / norm_of(tangent, search.norm).clamp_min(tiny)
        off = size * (draws.along * tangent + draws.aside)
        moved = (1 + draws.longer) * step + off
        points = x + moved
        if search.norm == "linf":
            points = _held(points, x, size * (1 + draws.longer))
        points = _boxed(search, points)
        distance = norm_of(points - x, search.norm)
        likely = (distance > 0) & (self.ahead(points) > -at_x)
        points, distance = points[likely], distance[likely]
        near = distance < (1 + LONGER) * torch.maximum(size, distance.amin()) if len(distance) else likely[:0]
        kept = max(int(near.sum()), len(points) // 2, LOOKED_AT)
        points = points[distance.argsort(stable=True)[:kept]]
        return points[:: max(1, len(points) // LOOKED_AT)]

    def moved(self, at_x: Tensor, size: Tensor, moves: _Moves) -> Tensor:
        """Points of the grid a move away from the image's point, nearer and beyond the linearised boundary; (P, ...).

        at_x: the difference at the image. size: (1,), the distance of the boundary.
        """
        search, x, best = self.search, self.search.x[self.row], self.search.best[self.row]
        points, origin = best.flatten(1).repeat(len(moves.held), 1), x.flatten()
        each = torch.arange(len(points), device=x.device)
        ends = [origin[moves.inwards], *torch.where(moves.up, torch.inf, -torch.inf).to(x)]
        for pixel, end in zip([moves.inwards, *moves.others], ends, strict=True):
            points[each, pixel] = torch.nextafter(points[each, pixel], end)
        points = _boxed(search, points.view(-1, *x.shape[1:]))
        if search.norm == "linf":
            distance = search.distance[self.row]
            points = _held(points, x, per_sample(distance + moves.held * (size - distance), x))
        return points[self.ahead(points) > -at_x]

    def take(self, points: Tensor, most: Tensor) -> Tensor:
        """Takes the nearest of the points, (P, ...), whose label differs for sure, and gives its distance, (1,).

        most: (1,), how far it may be at most, which is given back where there is none.
        """
        search, x, row = self.search, self.search.x[self.row], self.row
        distance, order = norm_of(points - x, search.norm).sort(stable=True)
        points = points[order][(distance > 0) & (distance < most)]
        if len(points):
            # the cheapest look first
            gaps = search.gaps(row.expand(len(points)), points.split(max(ALWAYS, len(search.x))))
            points = points[gaps < 0][:TRIED]
        if len(points):
            points = points[search.largest_gaps(row.expand(len(points)), points) < 0]
        if len(points) == 0:
            return most
        point = points[:1]
        most = norm_of(point - x, search.norm)
        search.best[row], search.distance[row] = point, most
        search.boundary_class[row] = search.look(row, point, graph=False)[1].argmax(1)
        search.overshot[row] = torch.maximum(search.overshot[row], most)
        return most


def _boxed(search: Search, points: Tensor) -> Tensor:
    return points.clamp(0, 1) if search.clipped else points


def _held(points: Tensor, x: Tensor, length: Tensor) -> Tensor:
    """The points with no pixel farther from x than `length`, (P, 1, ...): rounded towards the image.

    One pixel that is farther than the others makes the whole point farther.
    """
    points = x + torch.minimum(torch.maximum(points - x, -length), length)
    return torch.where((points - x).abs() > length, torch.nextafter(points, x), points)
