"""Linear bounds on the logits of a ReLU network over a ball of images: interval arithmetic and CROWN.

Interval arithmetic (Gowal et al. 2018, arXiv 1810.12715) pushes a box forward through the layers. CROWN (Zhang et al.
2018, arXiv 1811.00866) pulls the linear function that is to be bounded back to the image: a ReLU whose sign is not
settled is replaced by a line above and a line below it, and what arrives at the image is minimised over the ball by the
dual norm. CROWN needs bounds on the inputs of the ReLUs: those of interval arithmetic ("crown_ibp") or its own, layer
by layer ("crown").

`layers` are float64 modules: Normalise, Flatten, Linear, Conv2d, ReLU and MaxPool2d (see `certified.layers_of`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.norms import per_sample
from ..models.classifier import Normalise

METHODS = ("ibp", "crown_ibp", "crown")

# a lower and an upper bound of each entry of a layer's input, (N, ...) each
Box = tuple[Tensor, Tensor]

TINY = 1e-300


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

    def minimum(self, rows: Tensor) -> Tensor:
        """A lower bound of <row, z> over it for each row, (N, S, C, H, W) -> (N, S); exact but for l2 `clipped`."""
        if self.norm == "linf":
            return _minimum_in_box(rows, self.hull())
        x, rows = self.x.flatten(1)[:, None], rows.flatten(2)
        at_x, radius = (rows * x).sum(2), self.radius[:, None]
        best = at_x - radius * rows.norm(dim=2)
        if not self.clipped:
            return best
        # with d = z - x in the hull, every multiplier m >= 0 bounds the minimum: sum_i min (a_i d_i + m d_i^2) - m r^2
        low, high = (side.flatten(1)[:, None] - x for side in self.hull())
        multiplier = rows.norm(dim=2) / (2 * radius)
        best = torch.maximum(best, at_x + torch.minimum(rows * low, rows * high).sum(2))
        for _ in range(3):
            wanted = -rows / (2 * multiplier[:, :, None] + TINY)
            d = wanted.clamp(low, high)
            value = (rows * d + multiplier[:, :, None] * d.square()).sum(2) - multiplier * radius.square()
            best = torch.maximum(best, at_x + value)
            # the multiplier at which the pixels that are free spend what those at the box's sides leave of the radius
            free = wanted == d
            left = (radius.square() - torch.where(free, 0.0, d).square().sum(2)).clamp_min(0.0).sqrt()
            multiplier = torch.where(left > 0, torch.where(free, rows, 0.0).norm(dim=2) / (2 * left + TINY), multiplier)
        return best


@torch.no_grad()
def lower_bounds(layers: list[nn.Module], ball: Ball, rows: Tensor, method: str) -> tuple[Tensor, int]:
    """A lower bound of each <row, logits> over the ball; rows (N, S, K) -> bounds (N, S).

    The chain ibp, crown_ibp, crown never gets looser: a later method also takes the bounds of the earlier ones.

    Returns:
        The bounds; how many rows were pulled back through the network, or a part of it, for each image.

    Reference: arXiv 1811.00866, theorem 3.2 and section 3.3 with the adaptive slope (CROWN-Ada); interval arithmetic
    with the last layer merged into the rows, as in arXiv 1810.12715, section 3.
    Differs: the first layer's intervals are exact in l2 too (dual norm); max-pooling, which that paper leaves out,
    has the lines of `_through_pool`; over an l2 ball in the box a Lagrangian bound is used (see `Ball.minimum`).
    """
    boxes, _ = _boxes(layers, ball, refine=False)
    bends = [i for i, layer in enumerate(layers) if isinstance(layer, (nn.ReLU, nn.MaxPool2d))]
    linear_tail = bends[-1] + 1 if bends else 0
    best = _bound(layers, ball, boxes, rows, stop=linear_tail)
    pulled = 0
    if method != "ibp":
        best, pulled = torch.maximum(best, _bound(layers, ball, boxes, rows)), rows.shape[1]
    if method == "crown":
        boxes, spent = _boxes(layers, ball, refine=True)
        best, pulled = torch.maximum(best, _bound(layers, ball, boxes, rows)), pulled + spent + rows.shape[1]
    return best, pulled


def num_at_once(numbers: int, device: torch.device) -> int:
    """How many parts of `numbers` each make a tensor that suits the device: the CPU's cache, or 256 MiB elsewhere."""
    return max(1, 2 ** (18 if device.type == "cpu" else 25) // max(1, numbers))


def _boxes(layers: list[nn.Module], ball: Ball, refine: bool) -> tuple[list[Box], int]:
    """Bounds on the input of each layer and on the logits; with `refine` by CROWN. Also the rows pulled back."""
    boxes, spent, linear_so_far = [ball.hull()], 0, True
    # the ball's image under the layers so far, while it is an ellipsoid along the axes: centre and half axes
    ellipsoid: tuple[Tensor, Tensor] | None = None
    if ball.norm == "l2":
        ellipsoid = ball.x, per_sample(ball.radius, ball.x).expand_as(ball.x)
    for i, layer in enumerate(layers):
        low, high = boxes[i]
        if isinstance(layer, (nn.ReLU, nn.MaxPool2d)):
            # up to the first of them the intervals are as good as what CROWN would find
            if refine and not linear_so_far and isinstance(layers[i - 1], (nn.Linear, nn.Conv2d)):
                (low, high), rows = _refined(layers[:i], ball, boxes, all_of_them=isinstance(layer, nn.MaxPool2d))
                boxes[i], spent = (low, high), spent + rows
            low, high, linear_so_far, ellipsoid = layer(low), layer(high), False, None
        elif isinstance(layer, nn.Flatten):
            low, high = layer(low), layer(high)
            ellipsoid = None if ellipsoid is None else (layer(ellipsoid[0]), layer(ellipsoid[1]))
        else:
            centre, reach = layer((low + high) / 2), _spread(layer, (high - low) / 2, 1)
            low, high = centre - reach, centre + reach
            if ellipsoid is not None:
                centre, reach = layer(ellipsoid[0]), _spread(layer, ellipsoid[1].square(), 2).clamp_min(0).sqrt()
                low, high = torch.maximum(low, centre - reach), torch.minimum(high, centre + reach)
                ellipsoid = (centre, reach) if isinstance(layer, Normalise) else None
        boxes.append((low, high))
    return boxes, spent


def _refined(layers: list[nn.Module], ball: Ball, boxes: list[Box], all_of_them: bool) -> tuple[Box, int]:
    """CROWN's bounds on the output of `layers`; without `all_of_them` not where a ReLU is off."""
    low, high = boxes[-1][0].clone(), boxes[-1][1].clone()
    n, shape = len(low), low.shape[1:]
    flat_low, flat_high = low.view(n, -1), high.view(n, -1)
    needed = torch.ones_like(flat_low[0], dtype=torch.bool)
    if not all_of_them:
        # what is off in one image and on in another gives 0 there either way: results don't depend on the batch
        needed = (flat_high > 0).any(0)
    neurons = needed.nonzero()[:, 0]
    for part in neurons.split(num_at_once(2 * n * max(box[0][0].numel() for box in boxes), low.device)):
        one_hot = F.one_hot(part, flat_low.shape[1]).to(low)
        rows = torch.cat([one_hot, -one_hot]).expand(n, -1, -1).reshape(n, -1, *shape)
        below, above = _bound(layers, ball, boxes, rows).chunk(2, dim=1)
        flat_low[:, part] = torch.maximum(flat_low[:, part], below)
        flat_high[:, part] = torch.minimum(flat_high[:, part], -above)
    # two sound bounds may cross by rounding
    return (torch.minimum(low, high), torch.maximum(low, high)), 2 * len(neurons)


def _bound(layers: list[nn.Module], ball: Ball, boxes: list[Box], rows: Tensor, stop: int = 0) -> Tensor:
    """A lower bound of <row, output of `layers`>: the rows, pulled back to the input of layer `stop`, are minimised."""
    constant = torch.zeros_like(rows.flatten(2)[:, :, 0])
    for i in reversed(range(stop, len(layers))):
        layer, box = layers[i], boxes[i]
        if isinstance(layer, nn.ReLU):
            rows, extra = _through_relu(rows, box)
        elif isinstance(layer, nn.MaxPool2d):
            assert isinstance(layer.kernel_size, int)
            rows, extra = _through_pool(rows, box, layer.kernel_size)
        else:
            # an affine map at 0 is its bias
            bias = layer(torch.zeros_like(box[0][:1]))
            extra = (rows * bias[:, None]).flatten(2).sum(2)
            rows = _through_affine(layer, rows, box[0].shape[1:])
        constant = constant + extra
    return constant + (ball.minimum(rows) if stop == 0 else _minimum_in_box(rows, boxes[stop]))


def _minimum_in_box(rows: Tensor, box: Box) -> Tensor:
    low, high = box[0][:, None], box[1][:, None]
    return torch.minimum(rows * low, rows * high).flatten(2).sum(2)


def _through_relu(rows: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """slope z <= relu(z) <= chord (z - low) where low < 0 < high; the line below has slope 1 or 0, the nearer one."""
    low, high = box[0][:, None], box[1][:, None]
    chord = torch.where(low >= 0, 1.0, high.clamp_min(0) / (high.clamp_min(0) - low.clamp_max(0) + TINY))
    slope = (high > -low).to(rows)
    negative = rows.clamp_max(0)
    return rows.clamp_min(0) * slope + negative * chord, (negative * chord * -low.clamp_max(0)).flatten(2).sum(2)


def _through_pool(rows: Tensor, box: Box, kernel: int) -> tuple[Tensor, Tensor]:
    """Lines around the maximum of a window's entries z_i in [l_i, u_i].

    Below it: the entry with the largest l_i. Above it: with z_1 the entry of largest u_i and U the largest of the other
    u_i, max(z) <= max(z_1, U), which is convex in z_1 and so below its chord on [l_1, u_1]; z_1 itself where l_1 >= U.
    """
    height, wide = (size // kernel * kernel for size in box[0].shape[-2:])

    def windows(values: Tensor) -> Tensor:
        cut = values[..., :height, :wide].unflatten(-1, (-1, kernel)).unflatten(-3, (-1, kernel))
        return cut.transpose(-3, -2).flatten(-2)

    low, high = windows(box[0]), windows(box[1])
    lowest = F.one_hot(low.argmax(-1), kernel**2).to(rows)
    top = high.argmax(-1, keepdim=True)
    first = F.one_hot(top[..., 0], kernel**2).to(rows)
    u, low_of_top = high.gather(-1, top)[..., 0], low.gather(-1, top)[..., 0]
    at_low = torch.maximum(low_of_top, high.masked_fill(first.bool(), -torch.inf).amax(-1))
    chord = torch.where(at_low > low_of_top, (u - at_low) / (u - low_of_top + TINY), 1.0)
    positive, negative = rows.clamp_min(0), rows.clamp_max(0)
    # (N, S, C, H/k, W/k, k k) back to the image's order; rows and columns that no window covers have no influence
    spread = positive[..., None] * lowest[:, None] + (negative * chord[:, None])[..., None] * first[:, None]
    spread = spread.unflatten(-1, (kernel, kernel)).transpose(-3, -2).flatten(-4, -3).flatten(-2)
    padded = F.pad(spread, (0, box[0].shape[-1] - wide, 0, box[0].shape[-2] - height))
    return padded, (negative * (at_low - chord * low_of_top)[:, None]).flatten(2).sum(2)


def _through_affine(layer: nn.Module, rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows (N, S, ...) on an affine layer's output as rows (N, S, *shape) on its input."""
    if isinstance(layer, nn.Linear):
        return rows @ layer.weight
    if isinstance(layer, Normalise):
        return rows / layer.std
    if isinstance(layer, nn.Flatten):
        return rows.unflatten(2, shape)
    assert isinstance(layer, nn.Conv2d) and not isinstance(layer.padding, str)
    settings = list(zip(layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True))
    # rows at the far end that the stride never reached
    beyond = [
        size - ((out - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
        for size, out, (kernel, stride, padding, dilation) in zip(shape[1:], rows.shape[3:], settings, strict=True)
    ]
    pulled = F.conv_transpose2d(
        rows.flatten(0, 1), layer.weight, None, layer.stride, layer.padding, beyond, layer.groups, layer.dilation
    )
    return pulled.unflatten(0, rows.shape[:2])


def _spread(layer: nn.Module, reach: Tensor, power: int) -> Tensor:
    """The sum over inputs of |weight|^power reach: how far an output moves where inputs move by `reach`, (N, ...)."""
    if isinstance(layer, Normalise):
        return reach / layer.std.abs() ** power
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    weight = layer.weight.abs() ** power
    if isinstance(layer, nn.Linear):
        return F.linear(reach, weight)
    return F.conv2d(reach, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
