"""Nets and images small enough to know what must come out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.models import Classifier, build_classifier


@pytest.fixture
def fcn() -> Classifier:
    """A random net of 4 classes on 1x8x8 images."""
    return random_net()


@pytest.fixture(scope="session")
def stripes() -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """A trained net of 3 classes, its 180 images (noise with one bright third) and their labels."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(180) % 3
    x = 0.3 * torch.rand(180, 1, 6, 6, generator=draw)
    for label in range(3):
        x[labels == label, :, 2 * label : 2 * label + 2] += 0.6
    net = random_net(num_classes=3, shape=(1, 6, 6))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimiser.step()
    net.eval().requires_grad_(False)
    assert bool((net(x).argmax(1) == labels).all())
    return net, x, labels


def random_net(num_classes: int = 4, shape: tuple[int, int, int] = (1, 8, 8), name: str = "fcn") -> Classifier:
    options = {"activation": "relu"} | ({"widths": [16, 16]} if name == "fcn" else {})
    net = build_classifier(
        name, shape, num_classes, mean=[0.5] * shape[0], std=[0.3] * shape[0], seed=0, options=options
    )
    # random nets are nearly flat: sharpen them so that probabilities differ
    with torch.no_grad():
        net.head.weight.mul_(20)
    return net.eval()


@pytest.fixture
def make_net():
    return random_net
