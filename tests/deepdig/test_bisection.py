"""Component III: true outcomes, the same as one pair at a time, attempts by beta, capped."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from bdry.deepdig import OUTCOMES, bisect


def segments(net, pair, n=300, seed=0):
    """Ends predicted s and t, as many as there are among noise images, zipped."""
    x = torch.rand(8000, *net_shape(net), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        label = net(x).argmax(1)
    source, target = x[label == pair[0]], x[label == pair[1]]
    n = min(n, len(source), len(target))
    return source[:n], target[:n]


def net_shape(net):
    return (1, 8, 8) if net.head.in_features == 16 else (1, 12, 12)


def two_common_classes(net):
    x = torch.rand(2000, *net_shape(net), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        counts = net(x).argmax(1).bincount()
    return tuple(counts.argsort(descending=True)[:2].tolist())


@pytest.mark.parametrize("beta", [1e-2, 1e-4])
def test_every_outcome_is_true_and_they_add_up(fcn, beta):
    pair = two_common_classes(fcn)
    low, high = segments(fcn, pair)
    found = bisect(fcn, low, high, pair, beta=beta)
    with torch.no_grad():
        p = fcn(found.point).softmax(1)
    label, gap = p.argmax(1), (p[:, pair[0]] - p[:, pair[1]]).abs()
    among = (label == pair[0]) | (label == pair[1])
    third = found.outcome == OUTCOMES.index("third")
    assert len(low) >= 100
    assert found.count("success") > 0
    # rounding in a batch of another size moves probabilities by 1e-7
    assert bool((among & (gap < beta + 1e-6))[found.success].all())
    assert not bool(among[third].any())
    assert sum(found.count(outcome) for outcome in OUTCOMES) == len(low)


def one_at_a_time(net, low, high, pair, beta):
    """The algorithm as the specification states it, an independent implementation."""
    attempts = 0
    label_low, label_high = int(net(low[None]).argmax()), int(net(high[None]).argmax())
    while attempts < 40:
        middle = (low + high) / 2
        attempts += 1
        p = net(middle[None]).softmax(1)[0]
        label = int(p.argmax())
        if label not in pair:
            return "third", attempts, middle
        if abs(float(p[pair[0]] - p[pair[1]])) < beta:
            return "success", attempts, middle
        if label == label_low:
            low = middle
        if label == label_high:
            high = middle
    return "stalled", attempts, middle


@torch.no_grad()
def test_batched_equals_one_at_a_time(fcn):
    pair = two_common_classes(fcn)
    low, high = segments(fcn, pair, 120)
    found = bisect(fcn, low, high, pair)
    reference = [one_at_a_time(fcn, a, b, pair, 1e-4) for a, b in zip(low, high, strict=True)]
    same = [
        OUTCOMES[found.outcome[i]] == outcome and int(found.attempts[i]) == attempts
        for i, (outcome, attempts, _) in enumerate(reference)
    ]
    assert len(same) >= 100
    assert sum(same) >= 0.99 * len(same)
    rows = torch.tensor(same).nonzero()[:, 0]
    torch.testing.assert_close(found.point[rows], torch.stack([reference[i][2] for i in rows]), atol=1e-5, rtol=0)


def test_a_decade_of_beta_costs_3_3_attempts(fcn):
    pair = two_common_classes(fcn)
    low, high = segments(fcn, pair)
    means = []
    for beta in (1e-2, 1e-3, 1e-4, 1e-5):
        found = bisect(fcn, low, high, pair, beta=beta)
        means.append(float(found.attempts[found.success].double().mean()))
    for before, after in pairwise(means):
        assert after - before == pytest.approx(math.log2(10), abs=0.5)


def test_an_unreachable_beta_stalls_at_the_cap(fcn):
    pair = two_common_classes(fcn)
    low, high = segments(fcn, pair, 50)
    found = bisect(fcn, low, high, pair, beta=0.0)
    assert found.count("success") == 0
    assert found.count("stalled") > 0
    assert set(found.attempts[found.outcome == OUTCOMES.index("stalled")].tolist()) == {40}


def test_the_trace_belongs_to_the_points(fcn):
    pair = two_common_classes(fcn)
    found = bisect(fcn, *segments(fcn, pair, 50), pair, batch_size=16)
    last = found.gaps.gather(1, found.attempts[:, None] - 1)[:, 0]
    torch.testing.assert_close(last, (found.p_source - found.p_target).abs(), atol=1e-6, rtol=0)
    assert torch.equal(found.gaps.isfinite().sum(1), found.attempts)
    moved = found.low[:, 0].isfinite()
    assert bool((found.low[:, 0] > found.low[:, 1])[moved].all())


def test_no_segment_at_all(fcn):
    found = bisect(fcn, torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8), (0, 1))
    assert found.point.shape == (0, 1, 8, 8)
    assert [found.count(outcome) for outcome in OUTCOMES] == [0, 0, 0]


def test_logits_that_are_not_numbers_are_no_success():
    draw = torch.Generator().manual_seed(0)
    low, high = torch.rand(4, 1, 2, 2, generator=draw), torch.rand(4, 1, 2, 2, generator=draw)
    found = bisect(lambda x: x.flatten(1)[:, :3] * torch.nan, low, high, (0, 1))
    assert found.count("success") == 0
