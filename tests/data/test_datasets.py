"""Data sets: splits, subsets, classes, and files that are not what they should be."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from bdry.data import DATASETS, Split, vision
from bdry.errors import ConfigError, DataError, UsageError

TOYS = {
    "blobs": {"num_classes": 4},
    "moons": {},
    "circles": {},
    "sectors": {},
    "touching_sectors": {},
    "two_blobs": {},
    "three_blobs": {},
    "plates": {"margin": 0.1},
    "disc": {"margin": 0.01},
}


def test_digits_are_scikit_learns_images_with_a_balanced_test_split():
    from sklearn.datasets import load_digits

    raw, digits = load_digits(), DATASETS["digits"]()
    assert digits.image_shape == (1, 8, 8)
    assert sorted([*digits.train.index.tolist(), *digits.test.index.tolist()]) == list(range(1797))
    for split in digits.splits().values():
        assert split.images.dtype == torch.uint8
        assert split.labels.tolist() == raw.target[split.index.numpy()].tolist()
        restored = (split.pixels()[:, 0] * 16).round().numpy()
        np.testing.assert_array_equal(restored, raw.images[split.index.numpy()])
    counts = digits.test.labels.bincount()
    assert int(counts.max() - counts.min()) <= 2


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_balanced_in_the_unit_square_and_repeat(name):
    settings = {"num_points": 600, "noise": 0.02, "seed": 3, **TOYS[name]}
    toy, again = DATASETS[name](**settings), DATASETS[name](**settings)
    assert toy.image_shape == (1, 1, 2)
    assert torch.equal(toy.train.images, again.train.images)
    assert len(toy.train) + len(toy.test) == 600
    for split in toy.splits().values():
        counts = split.labels.bincount(minlength=toy.num_classes)
        assert int(counts.max() - counts.min()) <= 2
    other = DATASETS[name](**{**settings, "seed": 4})
    assert not torch.equal(toy.train.images, other.train.images)


def test_noiseless_sectors_are_separable_by_the_line_of_li2018():
    sectors = DATASETS["sectors"](num_points=2000, noise=0.0, seed=0)
    total = sectors.train.pixels().flatten(1).sum(1)
    # one level of rounding in each coordinate
    assert bool((total[sectors.train.labels == 0] <= 0.5 * 2**0.5 + 2 / 255).all())
    assert bool((total[sectors.train.labels == 1] >= 0.71 - 2 / 255).all())


def test_noiseless_plates_and_disc_leave_their_gap_free():
    plates = DATASETS["plates"](num_points=3000, noise=0.0, seed=0, margin=0.1)
    above = plates.train.pixels().flatten(1).sum(1) - 1
    # half a level of rounding in each coordinate
    assert float(above[plates.train.labels == 0].min()) == pytest.approx(0.1, abs=0.02)
    assert float(above[plates.train.labels == 1].max()) == pytest.approx(-0.1, abs=0.02)
    # uniform: in a triangle, (s - m) / (1 - m) = 1 - sqrt(u) has mean 1 / 3
    assert float(above[plates.train.labels == 0].mean()) == pytest.approx(0.1 + 0.9 / 3, abs=0.02)
    disc = DATASETS["disc"](num_points=3000, noise=0.0, seed=0, margin=0.05)
    radius = (disc.train.pixels().flatten(1) - 0.5).norm(dim=1)
    assert float(radius[disc.train.labels == 0].max()) == pytest.approx(0.15, abs=0.005)
    assert float(radius[disc.train.labels == 1].min()) == pytest.approx(0.25, abs=0.005)
    assert float(radius[disc.train.labels == 0].mean()) == pytest.approx(0.15 * 2 / 3, abs=0.005)


def test_subsets_are_balanced_seeded_and_keep_their_index():
    digits = DATASETS["digits"]()
    subset = digits.subset(205, 30, seed=0)
    assert (len(subset.train), len(subset.test)) == (205, 30)
    counts = subset.train.labels.bincount()
    assert set(counts.tolist()) == {20, 21}
    assert torch.equal(subset.train.index, subset.train.index.sort().values)
    position = {int(index): i for i, index in enumerate(digits.train.index)}
    for i, index in enumerate(subset.train.index.tolist()):
        assert torch.equal(subset.train.images[i], digits.train.images[position[index]])
    assert torch.equal(digits.subset(205, 30, 0).train.index, subset.train.index)
    assert not torch.equal(digits.subset(205, 30, 1).train.index, subset.train.index)


def test_a_class_with_too_few_images_gives_all_it_has():
    labels = torch.tensor([0] * 50 + [1] * 3 + [2] * 50)
    split = Split(torch.zeros(103, 1, 1, 1, dtype=torch.uint8), labels, torch.arange(103))
    assert split.balanced(33, 0).labels.bincount().tolist() == [15, 3, 15]


def test_classes_are_restricted_and_relabelled_in_the_order_given():
    digits = DATASETS["digits"]()
    two = digits.restricted([7, 2])
    assert two.class_names == ("7", "2")
    original = digits.train.labels[torch.isin(digits.train.labels, torch.tensor([7, 2]))]
    assert two.train.labels.tolist() == [{7: 0, 2: 1}[label] for label in original.tolist()]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda d: d.restricted([1, 10]), r"dataset.classes=\[1,10\]: digits has the classes 0 to 9"),
        (lambda d: d.subset(5000, None, 0), "dataset.num_train=5000: digits has 14.. train images"),
        (lambda d: d.subset(None, 3, 0), "dataset.num_test=3: must be at least the number of classes, 10"),
    ],
)
def test_impossible_selections_name_the_key(mistake, message):
    with pytest.raises(ConfigError, match=message):
        mistake(DATASETS["digits"]())


def test_normalisation_is_mean_and_deviation_of_the_training_pixels():
    digits = DATASETS["digits"]()
    mean, std = digits.normalisation()
    pixels = digits.train.pixels().double()
    assert mean[0] == pytest.approx(float(pixels.mean()), rel=1e-6)
    assert std[0] == pytest.approx(float(pixels.std(correction=0)), rel=1e-6)


def test_unknown_names_answer_with_the_nearest():
    with pytest.raises(UsageError, match="dataset=digit: no such dataset, did you mean dataset=digits"):
        DATASETS["digit"]


@pytest.fixture
def small_idx(monkeypatch, tmp_path) -> Path:
    """A data root whose MNIST has 6 and 4 images, beside code that expects so many."""
    shapes = {name: (6 if "train" in name else 4, *shape[1:]) for name, shape in vision.IDX_FILES.items()}
    monkeypatch.setattr(vision, "IDX_FILES", shapes)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, shape in shapes.items():
        values = (np.arange(np.prod(shape)) % 10).astype(np.uint8)
        (raw / name).write_bytes(struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values.tobytes())
    return tmp_path


def test_idx_files_are_read(small_idx):
    mnist = DATASETS["mnist"](root=str(small_idx), download=False)
    assert (len(mnist.train), len(mnist.test)) == (6, 4)
    assert mnist.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert mnist.train.images[0, 0, 0].tolist() == [i % 10 for i in range(28)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "100 bytes instead of 4720, truncated or damaged"),
        (lambda path: path.write_text("<!DOCTYPE html><title>Log in</title>"), "a web page, not data"),
        (lambda path: path.write_bytes(b""), "not the IDX file expected there"),
        (lambda path: path.write_bytes(gzip.compress(path.read_bytes())), "not the IDX file expected there"),
        (Path.unlink, "download=false: put train-images-idx3-ubyte into"),
    ],
)
def test_damaged_idx_files_are_named(small_idx, damage, message):
    damage(small_idx / "MNIST" / "raw" / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=message) as caught:
        DATASETS["mnist"](root=str(small_idx), download=False)
    assert "train-images-idx3-ubyte" in str(caught.value)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_missing_data_without_network_says_which_files_belong_where(name, tmp_path, monkeypatch):
    import urllib.request

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        DATASETS[name](root=str(tmp_path), download=True)
    assert str(tmp_path) in str(caught.value)
    assert ("data_batch_1" if name == "cifar10" else "train-images-idx3-ubyte") in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [
        ("mnist", (1, 28, 28), (60000, 10000)),
        ("fashion_mnist", (1, 28, 28), (60000, 10000)),
        ("cifar10", (3, 32, 32), (50000, 10000)),
    ],
)
def test_real_data_is_whole(name, shape, sizes, data_root):
    dataset = DATASETS[name](root=data_root, download=False)
    assert dataset.image_shape == shape
    assert (len(dataset.train), len(dataset.test)) == sizes
    assert dataset.train.labels.bincount().sum() == sizes[0]
    assert dataset.num_classes == 10


@pytest.mark.data
def test_a_changed_cifar_pickle_is_not_unpickled(data_root, tmp_path):
    shutil.copytree(Path(data_root) / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    victim = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    victim.write_bytes(victim.read_bytes()[:-1000])
    with pytest.raises(DataError, match="data_batch_3: truncated or changed"):
        DATASETS["cifar10"](root=str(tmp_path), download=False)
