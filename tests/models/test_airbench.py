"""The fast network: its shape, its layout, and that the layout changes nothing but speed."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bdry.cli import main
from bdry.errors import ConfigError
from bdry.models import build_classifier
from bdry.models.airbench import whiten
from bdry.session.open_run import load_network

OPTIONS = {"stem": 6, "widths": [8, 12, 16], "activation": "gelu"}


def build(**changes):
    return build_classifier(
        "airbench",
        (3, 32, 32),
        10,
        mean=[0.4] * 3,
        std=[0.2] * 3,
        seed=0,
        options=OPTIONS | {"norm": "batch"} | changes,
    )


def images(n=4):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("norm", "layers"), [("batch", 6), ("none", 0)])
def test_it_has_batchnorm_or_none_and_a_feature_for_each_channel(norm, layers):
    network = build(norm=norm)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == layers
    biases = [module.bias is not None for module in network.body.modules() if isinstance(module, nn.Conv2d)]
    assert biases == [True] + 6 * [norm == "none"]
    assert network.features(images()).shape == (4, 16)


def test_activations_and_weights_are_laid_out_channels_last():
    network, seen = build(), []
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    last.register_forward_hook(lambda module, x, y: seen.append(y))
    network(images())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert last.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_layout_changes_no_value():
    fast, plain = build().double().eval(), build().double().eval()
    plain.body[0] = nn.Identity()
    plain.to(memory_format=torch.contiguous_format)
    x = images().double().requires_grad_(True)
    gradients = [torch.autograd.grad(network(x).square().sum(), x)[0] for network in (fast, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_it_is_differentiable_twice_where_its_activation_is_smooth():
    network = build().double().eval()
    x = images(1).double().requires_grad_(True)
    gradient = torch.autograd.grad(network(x)[0, 0], x, create_graph=True)[0]
    assert torch.autograd.grad(gradient.sum(), x)[0].abs().max() > 0


def smooth_images(n=256):
    """As photographs are: neighbouring pixels are alike."""
    draw = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(draw, size=(32, 32), mode="bilinear")


def test_the_whitening_convolution_has_uncorrelated_channels_of_variance_1():
    network, photographs = build(stem=24), smooth_images()
    whiten(network, photographs)
    stem = network.body[1]
    with torch.no_grad():
        seen = stem(network.body[0](network.normalise(photographs))).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(seen[:12], -seen[12:])
    moments = seen[:12] @ seen[:12].T / seen.shape[1]
    variances = moments.diag()
    assert (moments - variances.diag()).abs().max() < 1e-4
    # what is added keeps directions in which patches hardly vary from being blown up
    assert variances.max() == pytest.approx(1, abs=1e-3)
    assert (variances > 0.5).all()


def test_training_leaves_the_whitening_as_it_is_and_trains_its_bias():
    network = build(stem=24)
    whiten(network, smooth_images())
    stem, before = network.body[1], network.body[1].weight.clone()
    optimiser = torch.optim.SGD(network.parameters(), 0.1, weight_decay=0.1)
    network(images()).square().sum().backward()
    optimiser.step()
    assert torch.equal(stem.weight, before)
    assert stem.bias.abs().max() > 0


def test_a_run_whitens_by_its_own_training_images_and_keeps_that(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels = (smooth_images(40) * 255).to(torch.uint8)
    np.savez("images.npz", images=pixels.numpy(), labels=np.arange(40) % 2)
    words = ["dataset=arrays", "dataset.file=images.npz", "arch=airbench", "arch.whiten=true", "arch.widths=[4,4,4]"]
    words += ["training.epochs=1", "training.batch_size=8", "probe=[]", "evaluation.robust_images=0", "threads=1"]
    assert main(["train", *words]) == 0
    first, dataset = load_network(capsys.readouterr().out.split()[-1], step=0)
    last, _ = load_network(next(Path("outputs/runs").glob("*/seed=0")))
    stem = first.body[1].weight
    assert torch.equal(last.body[1].weight, stem)
    assert not torch.equal(last.body[1].bias, first.body[1].bias)
    again = deepcopy(first)
    whiten(again, dataset.train.pixels())
    torch.testing.assert_close(again.body[1].weight, stem)


def test_whitening_in_channels_of_another_number_is_refused():
    with pytest.raises(ConfigError, match=r"stem.*24"):
        whiten(build(stem=25), smooth_images())
