"""Polylines of images: their length, points at equal arc length, and the sampled certificate of their segments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.measuring import Model, logits_of
from ...core.norms import per_sample
from ...core.segments import gap

# however short a segment, it is divided into at least this many intervals: a crossing that shrinks below the step
# from anchor to anchor would otherwise pass unseen
MIN_INTERVALS = 1000
# samples of a segment are looked up from coarse to fine, each time those between the ones before: most wrong
# segments are known for wrong after a handful of labels
STRIDES = (1024, 256, 64, 16, 4, 1)


def path_length(anchors: Tensor) -> float:
    """The l2 length of the polyline through `anchors`, (A, ...), in pixel units; summed in float64.

    Args:
        anchors: (A, ...), one point at least.
    """
    return float(_segment_lengths(anchors).sum())


def filmstrip(anchors: Tensor, num_images: int) -> Tensor:
    """Images along the polyline through `anchors`, (A, ...), at equal arc length, both ends included.

    (num_images, ...); on a path of length 0 all are its first point.

    Args:
        anchors: (A, ...), two points at least.
        num_images: images, both ends included.
    """
    lengths = _segment_lengths(anchors)
    along = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    wanted = torch.linspace(0, 1, num_images, dtype=along.dtype, device=along.device) * along[-1]
    segment = torch.searchsorted(along, wanted, right=True).sub(1).clamp(0, len(lengths) - 1)
    share = ((wanted - along[segment]) / lengths[segment].clamp_min(1e-300)).clamp(0, 1)
    return torch.lerp(anchors[segment], anchors[segment + 1], per_sample(share.to(anchors), anchors))


def labels_at(model: Model, x: Tensor, batch_size: int) -> Tensor:
    """The predicted class of each row, (N, ...) -> (N,) int64; -1 where a logit is not finite."""
    found = [x.new_zeros(0, dtype=torch.int64)]
    with torch.no_grad():
        for part in x.split(batch_size) if len(x) else ():
            logits = logits_of(model, part)
            found.append(torch.where(logits.isfinite().all(1), logits.argmax(1), -1))
    return torch.cat(found)


def num_intervals(start: Tensor, end: Tensor, spacing: Tensor) -> Tensor:
    """Into how many equal intervals segments, (S, ...), are divided so that none is longer than `spacing`, (S,).

    At least `MIN_INTERVALS`; 1, hence no sample, where the ends coincide. (S,) int64.
    """
    length = (end - start).flatten(1).double().norm(dim=1)
    # a length that is a whole number of steps but for rounding gets no interval more
    count = (length / spacing.double() * (1 - 1e-9)).ceil().to(torch.int64).clamp_min(MIN_INTERVALS)
    return torch.where(length > 0, count, 1)


def check_segments(
    model: Model, start: Tensor, end: Tensor, label: Tensor, intervals: Tensor, *, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Whether every sample inside the segments has its label; samples of many segments share a forward pass.

    The samples of a segment are start + (j / intervals) (end - start), j = 1 ... intervals - 1; its ends are not among
    them. They are looked up from coarse to fine, and a segment with a wrong one is left out from the next stage on,
    so that what is looked up does not depend on which segments go together.

    Args:
        model: points (N, ...) to logits (N, K).
        start: (S, ...).
        end: (S, ...).
        label: (S,) int64.
        intervals: (S,) int64.
        batch_size: points in a forward pass.

    Returns:
        right, (S,) bool: a certificate at this resolution. Labels looked up, (S,) int64.
    """
    right = torch.ones_like(label, dtype=torch.bool)
    looked_up = torch.zeros_like(label)
    finer_than = None
    for stride in STRIDES:
        rows = right.nonzero()[:, 0]
        counts = (intervals[rows] - 1) // stride
        if finer_than is not None:
            counts -= (intervals[rows] - 1) // finer_than
        ends = counts.cumsum(0)
        total = int(ends[-1]) if len(ends) else 0
        for first in range(0, total, batch_size):
            flat = torch.arange(first, min(first + batch_size, total), device=label.device)
            which = torch.searchsorted(ends, flat, right=True)
            rank = flat - (ends - counts)[which]
            if finer_than is not None:
                # the rank-th multiple of the stride that was not a sample of the stages before
                skipped = finer_than // stride - 1
                rank = rank + rank // skipped
            row = rows[which]
            share = ((rank + 1) * stride).to(start.dtype) / intervals[row]
            # fine stages are mostly within one segment: its ends need no copy for each sample
            ends_of = row[:1] if bool(row[0] == row[-1]) else row
            points = torch.lerp(start[ends_of], end[ends_of], per_sample(share, start))
            right[row[labels_at(model, points, batch_size) != label[row]]] = False
        looked_up[rows] += counts
        finer_than = stride
    return right, looked_up


def holds(
    model: Model, anchors: Tensor, label: Tensor, spacing: Tensor, finer: int, batch_size: int
) -> tuple[bool, int]:
    """Whether a path's samples, `finer` times as dense as `spacing`, have the label; labels looked up."""
    start, end = anchors[:-1], anchors[1:]
    every = label.expand(len(start))
    intervals = finer * num_intervals(start, end, spacing.expand(len(start)))
    inside, looked_up = check_segments(model, start, end, every, intervals, batch_size=batch_size)
    anchored = labels_at(model, anchors, batch_size) == label
    return bool(inside.all() & anchored.all()), int(looked_up.sum()) + len(anchors)


def keeps_clear(
    model: Model, anchors: Tensor, label: Tensor, spacing: Tensor, finer: int, batch_size: int
) -> tuple[bool, int]:
    """Whether a path has the label at samples `finer` times as dense as `spacing`, with room between them; looked up.

    Room: nowhere is the logit gap to the best other class below what it changes by within an interval beside it. Where
    two parts of a region touch, or nearly so, a path from one to the other comes nearer to the boundary than its
    samples are to each other, however dense they are.
    """
    start, end = anchors[:-1], anchors[1:]
    intervals = finer * num_intervals(start, end, spacing.expand(len(start)))
    ends = intervals.cumsum(0)
    values = []
    for first in range(0, int(ends[-1]) + 1, batch_size):
        flat = torch.arange(first, min(first + batch_size, int(ends[-1]) + 1), device=anchors.device)
        row = torch.searchsorted(ends, flat, right=True).clamp_max(len(start) - 1)
        share = (flat - (ends - intervals)[row]).to(anchors) / intervals[row]
        with torch.no_grad():
            logits = logits_of(model, torch.lerp(start[row], end[row], per_sample(share, anchors)))
        inside = logits.isfinite().all(1) & (logits.argmax(1) == label)
        if not bool(inside.all()):
            return False, first + len(flat)
        values.append(gap(logits, label.expand(len(flat))))
    value = torch.cat(values)
    change = F.pad(value.diff().abs(), (1, 1))
    beside = torch.stack([change[:-2], change[1:-1], change[2:]]).amax(0)
    return bool((torch.minimum(value[:-1], value[1:]) >= beside).all()), len(value)


def _segment_lengths(anchors: Tensor) -> Tensor:
    return anchors.double().diff(dim=0).flatten(1).norm(dim=1)
