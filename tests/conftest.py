"""Shared fixtures: one thread, hidden randomness refused, the data root, small data sets and classifiers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from bdry.data import Dataset, Split

# the same examples in every run: a red test can be run again
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

DATA_ROOT = Path(os.environ.get("BDRY_DATA", "~/.cache/bdry")).expanduser()


@pytest.fixture(autouse=True)
def _one_thread_and_no_hidden_randomness():
    torch.set_num_threads(1)
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before), "torch's global generator was drawn from"


@pytest.fixture
def data_root() -> str:
    """The folder with MNIST, Fashion-MNIST and CIFAR-10; skips where ../shared/data/prepare was not run."""
    if not (DATA_ROOT / "cifar-10-batches-py" / "batches.meta").is_file():
        pytest.skip(f"no data sets in {DATA_ROOT}: run ../shared/data/prepare or set BDRY_DATA")
    return str(DATA_ROOT)


def make_split(n: int, shape: tuple[int, int, int], num_classes: int, seed: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, *shape), generator=draw, dtype=torch.uint8)
    return Split(images, torch.arange(n) % num_classes, torch.arange(n))


@pytest.fixture
def tiny_dataset() -> Dataset:
    """48 training and 24 test images of noise, 1x4x4, three classes."""
    return Dataset("tiny", make_split(48, (1, 4, 4), 3, 0), make_split(24, (1, 4, 4), 3, 1), ("a", "b", "c"))
