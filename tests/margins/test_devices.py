"""The same margins on the CPU, on a GPU, and compiled."""

import pytest
import torch

from bdry.core.measuring import measuring
from bdry.margins import ESTIMATORS
from bdry.models import build_classifier
from bdry.session.build import compile_network

# smooth: at the kinks of an untrained ReLU network the last bit of a number may turn a path to another class
SETTINGS = {"mean": [0.5], "std": [0.5], "seed": 0, "options": {"activation": "softplus"}}
ESTIMATORS_TRIED = ["deepfool", "walk", "fmn"]


@pytest.fixture(scope="module")
def subject():
    network = build_classifier("lenet", (1, 28, 28), 10, **SETTINGS)
    x = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return network, x


def shares_agreeing(first, second):
    """Images whose margins differ by at most 1e-4 of themselves, failures agreeing with failures."""
    close = ((first - second).abs() <= 1e-4 * first.abs()) | (first.isnan() & second.isnan())
    return float(close.float().mean())


@pytest.mark.parametrize("estimator", ESTIMATORS_TRIED)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_gpu_gives_the_cpus_margins(subject, estimator, norm, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    network, x = subject
    # as every command does: TF32, which convolutions have on by default, is no float32
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    with measuring(network):
        here = ESTIMATORS[estimator](network, x, norm=norm).margin
        there = ESTIMATORS[estimator](network.cuda(), x.cuda(), norm=norm).margin.cpu()
    network.cpu()
    # docs/margins.md: other kernels may turn a single image's walk another way; means hardly move
    assert shares_agreeing(here, there) >= 0.95
    assert float(there.nanmean() / here.nanmean()) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_margins(subject):
    network, x = subject
    compiled = build_classifier("lenet", (1, 28, 28), 10, **SETTINGS)
    compile_network(compiled)
    with measuring(network), measuring(compiled):
        plain, fast = (ESTIMATORS["deepfool"](model, x, norm="l2").margin for model in (network, compiled))
    assert shares_agreeing(plain, fast) >= 0.99
