"""Linear functions of a node's output as they are pulled back through a network: dense, or as patches.

`Dense` has a coefficient for every entry: for functions of the logits and of the units of linear layers. The units of a
convolution have functions of the same form at every place: `Patches` holds, for each place of the convolution's output,
the coefficients on a window of the node that has been reached, with the stride and the padding of these windows.
Entries of a window that lie outside the node are 0.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network import ChannelScale

Box = tuple[Tensor, Tensor]

TINY = 1e-300


class Rows(Protocol):
    """S functions at P places for each of N images; P is 1 for dense ones."""

    @property
    def flat(self) -> Tensor:
        """The coefficients, (N, S, P, D)."""
        ...

    def seen(self, values: Tensor) -> Tensor:
        """What of a node's values, (N, ...), the coefficients stand for: (N, 1, P, D)."""
        ...

    def scaled(self, factor: float) -> Rows:
        """Every coefficient times a number."""
        ...

    def plus(self, other: Rows) -> Rows:
        """The sums of two functions of the same node."""
        ...

    def through_relu(self, box: Box, slope: Tensor | None) -> tuple[Rows, Tensor]:
        """Functions of a ReLU's input that are nowhere above these of its output, and their constants, (N, S, P)."""
        ...

    def through_pool(self, box: Box, kernel: int) -> tuple[Rows, Tensor]:
        """The same for max-pooling over windows of kernel x kernel."""
        ...

    def through_affine(self, layer: nn.Module, shape: torch.Size) -> tuple[Rows, Tensor]:
        """The same functions of an affine layer's input, of `shape`, and their constants."""
        ...


def relu_lines(box: Box) -> tuple[Tensor, Tensor, Tensor]:
    """slope z <= relu(z) <= chord z + offset where low < 0 < high; the line below has slope 1 or 0, the nearer one."""
    low, high = box
    chord = torch.where(low >= 0, 1.0, high.clamp_min(0) / (high.clamp_min(0) - low.clamp_max(0) + TINY))
    return (high > -low).to(low), chord, chord * -low.clamp_max(0)


def pool_lines(box: Box, kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lines around the maximum of a window's entries z_i in [l_i, u_i].

    Below it: the entry with the largest l_i. Above it: with z_1 the entry of largest u_i and U the largest of the other
    u_i, max(z) <= max(z_1, U), which is convex in z_1 and so below its chord on [l_1, u_1]; z_1 itself where l_1 >= U.

    Returns:
        Coefficients of the line below and of the line above, (N, C, kernel^2, H/kernel, W/kernel), and the offset of
        the line above, (N, C, H/kernel, W/kernel).
    """

    def windows(values: Tensor) -> Tensor:
        height, wide = (size // kernel * kernel for size in values.shape[-2:])
        cut = values[..., :height, :wide].unflatten(-1, (-1, kernel)).unflatten(-3, (-1, kernel))
        return cut.transpose(-3, -2).flatten(-2)

    low, high = windows(box[0]), windows(box[1])
    lowest = F.one_hot(low.argmax(-1), kernel**2).to(low)
    top = high.argmax(-1, keepdim=True)
    first = F.one_hot(top[..., 0], kernel**2).to(low)
    u, low_of_top = high.gather(-1, top)[..., 0], low.gather(-1, top)[..., 0]
    at_low = torch.maximum(low_of_top, high.masked_fill(first.bool(), -torch.inf).amax(-1))
    chord = torch.where(at_low > low_of_top, (u - at_low) / (u - low_of_top + TINY), 1.0)
    above = first * chord[..., None]
    return lowest.movedim(-1, 2), above.movedim(-1, 2), at_low - chord * low_of_top


def _constant(layer: nn.Module) -> Tensor | None:
    """An affine layer's bias; None where it has none."""
    return None if isinstance(layer, nn.Flatten) else layer.bias  # type: ignore[return-value]


@dataclass(frozen=True)
class Dense:
    """Coefficients of shape (N, S, *shape of the node's output)."""

    rows: Tensor

    @classmethod
    def units(cls, units: Tensor, like: Tensor) -> Dense:
        """The units themselves, of a node whose values are `like`, (N, D)."""
        return cls(F.one_hot(units, like.shape[1]).to(like).expand(len(like), -1, -1))

    @property
    def flat(self) -> Tensor:
        """(N, S, 1, D)."""
        return self.rows.flatten(2)[:, :, None]

    def seen(self, values: Tensor) -> Tensor:
        """(N, 1, 1, D)."""
        return values.flatten(1)[:, None, None]

    def scaled(self, factor: float) -> Dense:
        """Every coefficient times a number."""
        return Dense(self.rows * factor)

    def plus(self, other: Rows) -> Dense:
        """The sum, of two dense ones."""
        assert isinstance(other, Dense)
        return Dense(self.rows + other.rows)

    def through_relu(self, box: Box, slope: Tensor | None) -> tuple[Dense, Tensor]:
        """See `Rows`; slope: (N, S, ...), of the line below where the sign is not settled."""
        lower, chord, offset = relu_lines(box)
        below = lower[:, None]
        if slope is not None:
            # a settled ReLU is a line itself
            open_ones = ((box[0] < 0) & (box[1] > 0))[:, None]
            below = torch.where(open_ones, slope, below)
        negative = self.rows.clamp_max(0)
        extra = (negative * offset[:, None]).flatten(2).sum(2)
        return Dense(self.rows.clamp_min(0) * below + negative * chord[:, None]), extra[..., None]

    def through_pool(self, box: Box, kernel: int) -> tuple[Dense, Tensor]:
        """See `Rows`; rows and columns that no window covers have no influence."""
        below, above, offset = pool_lines(box, kernel)
        positive, negative = self.rows.clamp_min(0), self.rows.clamp_max(0)
        # (N, S, C, k k, H/k, W/k) back to the image's order
        parts = positive[:, :, :, None] * below[:, None] + negative[:, :, :, None] * above[:, None]
        parts = parts.unflatten(3, (kernel, kernel)).permute(0, 1, 2, 5, 3, 6, 4).flatten(5, 6).flatten(3, 4)
        missing = [size - had for size, had in zip(box[0].shape[2:], parts.shape[3:], strict=True)]
        extra = (negative * offset[:, None]).flatten(2).sum(2)
        return Dense(F.pad(parts, (0, missing[1], 0, missing[0]))), extra[..., None]

    def through_affine(self, layer: nn.Module, shape: torch.Size) -> tuple[Dense, Tensor]:
        """See `Rows`."""
        bias = _constant(layer)
        if bias is None:
            extra = torch.zeros_like(self.rows.flatten(2)[..., 0])
        elif isinstance(layer, nn.Linear):
            extra = self.rows @ bias
        else:
            extra = (self.rows * bias.reshape(-1, *[1] * (self.rows.ndim - 3))).flatten(2).sum(2)
        return Dense(self._pulled(layer, shape)), extra[..., None]

    def _pulled(self, layer: nn.Module, shape: torch.Size) -> Tensor:
        rows = self.rows
        if isinstance(layer, nn.Linear):
            return rows @ layer.weight
        if isinstance(layer, ChannelScale):
            return rows * layer.weight
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


@dataclass(frozen=True)
class Patches:
    """Coefficients (N, S, P, C, k, k') on windows of a node with C channels.

    places: how many windows the node has, down and across; their product is P. The window at place (i, j) begins at
    row i stride - padding and column j stride - padding, with a stride and a padding for each direction.
    size: (H, W) of the node.
    """

    rows: Tensor
    places: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def units(cls, channels: Tensor, like: Tensor) -> Patches:
        """The units of some channels themselves, at every place; of a node whose values are `like`, (N, C, H, W)."""
        n, num_channels, height, wide = like.shape
        rows = F.one_hot(channels, num_channels).to(like)[None, :, None, :, None, None]
        rows = rows.expand(n, -1, height * wide, -1, -1, -1)
        return cls(rows, (height, wide), (1, 1), (0, 0), (height, wide))

    @property
    def flat(self) -> Tensor:
        """(N, S, P, C k k')."""
        return self.rows.flatten(3)

    def _padded(self, values: Tensor) -> Tensor:
        """The values (N, C, H, W) with zeros around them, so that no window leaves them; the first begins at 0."""
        # room at the far end for the last window, wherever it ends
        needed = [
            (self.places[d] - 1) * self.stride[d] - self.padding[d] + self.rows.shape[4 + d] - self.size[d]
            for d in (0, 1)
        ]
        return F.pad(values, (self.padding[1], max(needed[1], 0), self.padding[0], max(needed[0], 0)))

    def _windows(self, values: Tensor) -> Tensor:
        """The values (N, C, H, W) in each window, 0 outside the node: (N, 1, P, C, k, k')."""
        padded = self._padded(values)
        for d in (0, 1):
            padded = padded.unfold(2 + d, self.rows.shape[4 + d], self.stride[d])
        cut = padded[:, :, : self.places[0], : self.places[1]]
        return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)[:, None]

    def seen(self, values: Tensor) -> Tensor:
        """(N, 1, P, C k k')."""
        return self._windows(values).flatten(3)

    def scaled(self, factor: float) -> Patches:
        """Every coefficient times a number."""
        return replace(self, rows=self.rows * factor)

    def plus(self, other: Rows) -> Patches:
        """The sum; windows of different sizes are brought to their union."""
        assert isinstance(other, Patches) and self.stride == other.stride and self.places == other.places
        padding = tuple(max(a, b) for a, b in zip(self.padding, other.padding, strict=True))
        ends = [max(one.rows.shape[4 + d] - one.padding[d] for one in (self, other)) + padding[d] for d in (0, 1)]
        total = self._grown(padding, ends) + other._grown(padding, ends)
        return replace(self, rows=total, padding=(padding[0], padding[1]))

    def _grown(self, padding: tuple[int, ...], kernel: list[int]) -> Tensor:
        before = [padding[d] - self.padding[d] for d in (0, 1)]
        after = [kernel[d] - before[d] - self.rows.shape[4 + d] for d in (0, 1)]
        return F.pad(self.rows, (before[1], after[1], before[0], after[0]))

    def through_relu(self, box: Box, slope: Tensor | None) -> tuple[Patches, Tensor]:
        """See `Rows`; own slopes are for dense functions."""
        assert slope is None
        lower, chord, offset = (self._windows(values) for values in relu_lines(box))
        negative = self.rows.clamp_max(0)
        rows = self.rows.clamp_min(0) * lower + negative * chord
        return replace(self, rows=rows), (negative * offset).flatten(3).sum(3)

    def through_pool(self, box: Box, kernel: int) -> tuple[Patches, Tensor]:
        """See `Rows`."""
        below, above, offset = pool_lines(box, kernel)
        positive, negative = self.rows.clamp_min(0), self.rows.clamp_max(0)
        parts = [
            positive * self._windows(below[:, :, entry]) + negative * self._windows(above[:, :, entry])
            for entry in range(kernel**2)
        ]
        # (N, S, P, C, k, k', a, b) -> windows of the pooling's input
        together = torch.stack(parts, dim=-1).unflatten(-1, (kernel, kernel))
        rows = together.permute(0, 1, 2, 3, 4, 6, 5, 7).flatten(6, 7).flatten(4, 5)
        height, wide = box[0].shape[2:]
        wider = Patches(
            rows,
            self.places,
            (self.stride[0] * kernel, self.stride[1] * kernel),
            (self.padding[0] * kernel, self.padding[1] * kernel),
            (height, wide),
        )
        return wider, (negative * self._windows(offset)).flatten(3).sum(3)

    def through_affine(self, layer: nn.Module, shape: torch.Size) -> tuple[Patches, Tensor]:
        """See `Rows`; convolutions and channel scales, the only affine layers before a flattening."""
        bias = _constant(layer)
        extra = torch.zeros_like(self.rows[..., 0, 0, 0])
        if bias is not None:
            extra = (self.rows * bias.reshape(-1, 1, 1)).flatten(3).sum(3)
        if isinstance(layer, ChannelScale):
            return replace(self, rows=self.rows * layer.weight), extra
        assert isinstance(layer, nn.Conv2d) and not isinstance(layer.padding, str)
        pulled = F.conv_transpose2d(
            self.rows.flatten(0, 2), layer.weight, None, layer.stride, 0, 0, layer.groups, layer.dilation
        )
        wider = Patches(
            pulled.unflatten(0, self.rows.shape[:3]),
            self.places,
            (self.stride[0] * layer.stride[0], self.stride[1] * layer.stride[1]),
            (
                self.padding[0] * layer.stride[0] + int(layer.padding[0]),
                self.padding[1] * layer.stride[1] + int(layer.padding[1]),
            ),
            (shape[1], shape[2]),
        )
        return wider._within(), extra

    def composed(self, lines: Lines) -> tuple[Patches, Tensor]:
        """Functions of an earlier node that are nowhere above these, by the lines around each entry of this node."""
        below, above = (torch.cat([rows.rows.flatten(3), at_zero[..., None]], -1) for rows, at_zero in lines)
        earlier, kernel = lines[0][0], lines[0][0].rows.shape[-3:]
        n, channels, _, length = below.shape
        # (N, C (D + 1), H, W): one table a side
        tables = [self._padded(side.transpose(2, 3).reshape(n, -1, *self.size)) for side in (below, above)]
        reach = [(self.rows.shape[4 + d] - 1) * earlier.stride[d] + kernel[1 + d] for d in (0, 1)]
        total = below.new_zeros(n, self.rows.shape[2], self.rows.shape[1], kernel[0], *reach)
        constant = torch.zeros_like(total[..., 0, 0, 0])
        for down, across in itertools.product(range(self.rows.shape[4]), range(self.rows.shape[5])):
            coefficients = self.rows[..., down, across].transpose(1, 2)
            down_at, across_at = (
                slice(first, first + (self.places[d] - 1) * self.stride[d] + 1, self.stride[d])
                for d, first in enumerate((down, across))
            )
            parts = [
                side @ table[..., down_at, across_at].flatten(2).transpose(1, 2).unflatten(2, (channels, length))
                for side, table in zip((coefficients.clamp_min(0), coefficients.clamp_max(0)), tables, strict=True)
            ]
            part = parts[0] + parts[1]
            constant += part[..., -1]
            top, left = down * earlier.stride[0], across * earlier.stride[1]
            total[..., top : top + kernel[1], left : left + kernel[2]] += part[..., :-1].unflatten(3, kernel)
        wider = Patches(
            total.transpose(1, 2),
            self.places,
            (self.stride[0] * earlier.stride[0], self.stride[1] * earlier.stride[1]),
            (
                self.padding[0] * earlier.stride[0] + earlier.padding[0],
                self.padding[1] * earlier.stride[1] + earlier.padding[1],
            ),
            earlier.size,
        )
        return wider, constant.transpose(1, 2)

    def _within(self) -> Patches:
        """Coefficients outside the node, which stand for the convolution's padding with zeros, set to 0."""
        ones = torch.ones(1, 1, *self.size, dtype=self.rows.dtype, device=self.rows.device)
        return replace(self, rows=self.rows * self._windows(ones))


# of every entry of a node, (N, C, H W): a function of an earlier node below it and one above it, with their constants
Lines = tuple[tuple[Patches, Tensor], tuple[Patches, Tensor]]
