"""Networks of every known step: the traced graph is the network, bounds hold in large balls, patches are CROWN."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bdry.core.norms import random_in_ball
from bdry.margins import bounds as bounds_module
from bdry.margins.bounds import Ball, Bounds, lower_bounds
from bdry.margins.network import UnboundedLayerError, run, trace
from bdry.margins.patches import Dense, Patches
from bdry.names import BOUND_METHODS

SHAPE = torch.Size((2, 9, 9))
SETTINGS = [("l2", False), ("l2", True), ("linf", False), ("linf", True)]


class BasicBlock(nn.Module):
    """Two convolutions with batch-norm and a shortcut, of 1 x 1 where the stride or the width changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


class SmallResNet(nn.Module):
    """A stem and two blocks, one of which keeps its shape, then global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(BasicBlock(4, 4, 1), BasicBlock(4, 6, 2))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 4)

    def forward(self, x):
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        return self.head(torch.flatten(self.pool(x), 1))


class Functional(nn.Module):
    """A user's module: everything is written out in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.6]).reshape(1, 2, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3]).reshape(1, 2, 1, 1))
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        x = F.relu((x - self.mean) / self.std)
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = x + self.second(x).relu()
        return self.head(x.view(x.size(0), -1))


def layers(*inner: nn.Module) -> nn.Sequential:
    """Those, then a linear head, for images of SHAPE."""
    body = nn.Sequential(*inner, nn.Flatten())
    with torch.no_grad():
        width = body.eval()(torch.zeros(1, *SHAPE)).shape[1]
    return nn.Sequential(*body, nn.Linear(width, 4))


def conv(*args, **kwargs) -> list[nn.Module]:
    return [nn.Conv2d(*args, **kwargs), nn.ReLU()]


NETWORKS = {
    "average pooling": lambda: layers(
        *conv(2, 4, 3), nn.AvgPool2d(2), *conv(4, 5, 2), nn.AvgPool2d(3, stride=1, padding=1)
    ),
    "batch-norm": lambda: layers(*conv(2, 4, 3)[:1], nn.BatchNorm2d(4), nn.ReLU(), *conv(4, 3, 3)),
    "flat batch-norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(162, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)
    ),
    "strides": lambda: layers(*conv(2, 4, 3, stride=2), *conv(4, 4, 2, stride=(1, 2)), *conv(4, 3, 2)),
    "padding": lambda: layers(
        *conv(2, 3, 5, padding=2), *conv(3, 4, (3, 5), padding=(1, 2)), *conv(4, 3, 3, padding=2)
    ),
    "stride and padding": lambda: layers(*conv(2, 4, 4, stride=3, padding=1), *conv(4, 3, 3, stride=2, padding=2)),
    "groups": lambda: layers(*conv(2, 4, 3, groups=2), *conv(4, 4, 3, groups=4, padding=1), *conv(4, 4, 2, groups=2)),
    "dilation": lambda: layers(*conv(2, 3, 3, dilation=2, padding=1), *conv(3, 3, 2, dilation=2)),
    "max-pooling": lambda: layers(
        *conv(2, 4, 3, padding=1), nn.MaxPool2d(2), *conv(4, 4, 3, padding=1), nn.MaxPool2d(2)
    ),
    "residual": SmallResNet,
    "functional": Functional,
}
every = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> nn.Module:
    """With weights, affine parameters and running statistics that are far from those of a fresh network."""
    draw = torch.Generator().manual_seed(list(NETWORKS).index(name))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = NETWORKS[name]()
    for part in model.modules():
        for key, value in part.named_parameters(recurse=False):
            scale = 1.7 / value[0].numel() ** 0.5 if value.ndim > 1 else 0.3
            value.data = scale * torch.randn(value.shape, generator=draw)
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and key == "weight":
                # of either sign
                value.data += 1.0 * value.data.sign()
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = 0.5 * torch.randn(part.running_mean.shape, generator=draw)
            part.running_var = 0.1 + 2 * torch.rand(part.running_var.shape, generator=draw)
    return model.eval().requires_grad_(False)


def images(n: int) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def directions(n: int) -> torch.Tensor:
    """Both signs of every logit, and mixtures; (n, S, K)."""
    mixtures = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    return torch.cat([torch.eye(4), -torch.eye(4), mixtures]).double().expand(n, -1, -1)


@every
def test_the_graph_is_the_network(name):
    model, x = network(name), images(20)
    torch.testing.assert_close(run(trace(model, SHAPE), x.double()), model.double()(x.double()), rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize(("norm", "clipped"), SETTINGS)
def test_bounds_are_below_what_is_sampled_in_large_balls(name, norm, clipped):
    n, draw = 3, torch.Generator().manual_seed(2)
    nodes, x, rows = trace(network(name), SHAPE), images(3).double(), directions(n)
    size = SHAPE.numel() ** 0.5 if norm == "l2" else 1.0
    for share in (0.02, 0.15, 0.5):
        ball = Ball(x, x.new_full((n,), share * size), norm, clipped)
        # a chain, each of which is at least as tight as the one before
        chain = [lower_bounds(nodes, ball, rows, method, slope_steps=4)[0] for method in BOUND_METHODS]
        for looser, tighter in itertools.pairwise(chain):
            assert bool((tighter >= looser).all())
        for trial in range(40):
            inside = random_in_ball(torch.Size((n * 8, *SHAPE)), norm, share * size, draw).double()
            if norm == "linf" and trial % 2:
                # corners of the ball, where interval arithmetic would be attained
                inside = share * size * inside.sign()
            points = x.repeat_interleave(8, 0) + inside
            values = run(nodes, points.clamp(0, 1) if clipped else points).unflatten(0, (n, 8))
            sampled = (rows[:, None] * values[:, :, None]).sum(3).amin(1)
            assert bool((sampled >= chain[-1] - 1e-9).all())


@every
@pytest.mark.parametrize(("norm", "clipped"), SETTINGS)
def test_boxes_of_inner_nodes_hold_what_is_sampled(name, norm, clipped):
    draw = torch.Generator().manual_seed(4)
    nodes, x = trace(network(name), SHAPE), images(2).double()
    size = SHAPE.numel() ** 0.5 if norm == "l2" else 1.0
    bounds = Bounds.of(nodes, Ball(x, x.new_full((2,), 0.1 * size), norm, clipped), refine=True)
    for _ in range(30):
        points = x + random_in_ball(torch.Size((2, *SHAPE)), norm, 0.1 * size, draw).double()
        values = []
        for node in nodes:
            before = [values[source] for source in node.inputs]
            if not before:
                values.append(points.clamp(0, 1) if clipped else points)
            else:
                values.append(sum(before) if node.layer is None else node.layer(*before))
        for (low, high), value in zip(bounds.boxes, values, strict=True):
            assert bool(((value >= low - 1e-9) & (value <= high + 1e-9)).all())


@every
@pytest.mark.parametrize(("norm", "clipped"), SETTINGS)
def test_patches_are_dense_crown(name, norm, clipped):
    nodes, x = trace(network(name), SHAPE), images(2).double()
    size = SHAPE.numel() ** 0.5 if norm == "l2" else 1.0
    bounds = Bounds.of(nodes, Ball(x, x.new_full((2,), 0.1 * size), norm, clipped), refine=True)
    compared = 0
    for i, node in enumerate(nodes):
        if node.layer is None or not node.inputs or len(node.shape) != 3:
            continue
        like, channels = bounds.boxes[i][0], torch.arange(node.shape[0])
        for sign in (1.0, -1.0):
            patches = bounds._pull(Patches.units(channels, like).scaled(sign), i)
            unit = torch.eye(node.shape.numel(), dtype=torch.float64).reshape(1, -1, *node.shape)
            dense = bounds._pull(Dense(sign * unit.expand(2, *unit.shape[1:])), i)
            torch.testing.assert_close(patches.flatten(1), dense.flatten(1), rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared >= 2 or name == "flat batch-norm"


def test_bounds_in_parts_are_those_at_once(monkeypatch):
    nodes, x = trace(network("max-pooling"), SHAPE), images(3).double()
    ball = Ball(x, x.new_full((3,), 0.05), "linf", True)
    whole = Bounds.of(nodes, ball, refine=True)
    monkeypatch.setattr(bounds_module, "num_at_once", lambda numbers, device: 1)
    for one, other in zip(whole.boxes, Bounds.of(nodes, ball, refine=True).boxes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


class Odd(nn.Module):
    """Flattens, then does what it was given."""

    def __init__(self, step) -> None:
        super().__init__()
        self.step = step
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.head = nn.Linear(162, 4)

    def forward(self, x):
        return self.step(self, x)


def writes(self, x):
    x = x - 0.5
    return self.head((F.relu(x, inplace=True) + x).flatten(1))


def branches(self, x):
    return self.head(x.flatten(1)) if x.sum() > 0 else self.head(-x.flatten(1))


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (lambda self, x: torch.sigmoid(self.head(x.flatten(1))), "no bounds for sigmoid"),
        (lambda self, x: self.head(x.flatten(1)) * self.head(x.flatten(1)), "no bounds for mul"),
        (lambda self, x: F.avg_pool2d(x, 2, ceil_mode=True), "no bounds for AvgPool2d"),
        (lambda self, x: F.max_pool2d(x, 3, 1), "no bounds for MaxPool2d"),
        (lambda self, x: F.max_pool2d(x, 2, padding=1), "no bounds for MaxPool2d"),
        (lambda self, x: F.gelu(self.head(x.flatten(1))), "no bounds for gelu"),
        (lambda self, x: F.pad(self.head(x.flatten(1)), (1, 1)), "no bounds for pad"),
        (lambda self, x: 1.0 / self.head(x.flatten(1)), "no bounds for truediv"),
        (lambda self, x: torch.cat([self.head(x.flatten(1)), self.head(x.flatten(1))], 1), "no bounds for cat"),
        (lambda self, x: (self.head(x.flatten(1)), x), "the network's output"),
        (lambda self, x: torch.add(self.head(x.flatten(1)), 1.0, alpha=2), "no bounds for add with alpha"),
        (writes, "the forward of Odd is more than its steps"),
        (branches, "the forward of Odd cannot be followed"),
    ],
)
def test_unknown_steps_are_named_in_a_line(step, named):
    with pytest.raises(UnboundedLayerError) as raised:
        trace(Odd(step), SHAPE)
    assert str(raised.value).startswith(named)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "step",
    [
        lambda self, x: self.head(x.reshape(x.shape[0], -1)),
        lambda self, x: self.head(torch.flatten(x, start_dim=1)),
        lambda self, x: 2 - self.head((3 * x - 1).flatten(1)),
        lambda self, x: self.head(F.dropout(x, 0.5, self.training).flatten(1)) / 4,
        lambda self, x: self.head(x.flatten(1)).add(1.0),
        lambda self, x: torch.add(self.head(x.flatten(1)), self.head(-x.flatten(1))),
        lambda self, x: self.head(F.max_pool2d(F.pad(x, (0, 0)), kernel_size=1).flatten(1)),
        lambda self, x: self.head(nn.functional.relu(x, inplace=True).flatten(1)),
    ],
)
def test_other_spellings_are_the_network_or_refused(step):
    """What the graph does not know it refuses; what it takes it computes as the module does."""
    model, x = Odd(step).double().eval(), images(5).double() - 0.5
    try:
        nodes = trace(model, SHAPE)
    except UnboundedLayerError as refused:
        assert "no bounds for pad" in str(refused)
        return
    torch.testing.assert_close(run(nodes, x), model(x.clone()), rtol=1e-12, atol=1e-12)
