"""What a data set may hold: images of uint8, or of float in [0, 1], said once and refused in a line otherwise."""

from __future__ import annotations

import pytest
import torch

from bdry.data import DATASETS, Dataset, Split
from bdry.errors import ConfigError, DataError


def split(images=None, labels=None, index=None):
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0)) if images is None else images
    labels = torch.arange(6) % 2 if labels is None else labels
    return Split(images, labels, torch.arange(6) if index is None else index)


def dataset(train, test=None):
    return Dataset("mine", train, train if test is None else test, ("a", "b"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_in_the_unit_interval_are_taken_as_they_are(dtype):
    values = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    mine = dataset(split(values))
    assert mine.train.pixels().dtype == torch.float32
    assert torch.equal(mine.train.pixels(), values.float())
    mean, std = mine.normalisation()
    assert mean[0] == pytest.approx(float(values.double().mean()))
    assert std[0] == pytest.approx(float(values.double().std(correction=0)))
    assert set(mine.checksums()) == {"train", "test"}


def test_levels_and_floats_of_the_same_pixels_are_the_same_data_set():
    digits = DATASETS["digits"]()
    parts = (Split(part.pixels(), part.labels, part.index) for part in (digits.train, digits.test))
    floats = Dataset("digits", *parts, digits.class_names)
    assert torch.equal(floats.train.pixels(), digits.train.pixels())
    assert floats.normalisation()[0] == pytest.approx(digits.normalisation()[0], rel=1e-6)
    assert floats.normalisation()[1] == pytest.approx(digits.normalisation()[1], rel=1e-6)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: split(torch.zeros(6, 1, 2, 2).numpy()), r"images, labels and index must be torch\.Tensor"),
        (lambda: split(torch.zeros(6, 1, 2, 2, device="meta")), r"must be torch\.Tensor"),
        (lambda: split(torch.zeros(6, 1, 2, 2).requires_grad_()), "sparse or have gradients"),
        (lambda: split(torch.zeros(6, 1, 2, 2).to_sparse()), "sparse or have gradients"),
        (lambda: Dataset("mine", split(), split(), ("a", 3)), "class 1 is called 3: wanted is a name"),
        (lambda: Dataset("mine", split(), split(), ("a", "\udcff")), r"class 1 is called '\\udcff'"),
        (lambda: split(torch.zeros(6, 2, 2)), r"images of shape \(6, 2, 2\): wanted is \(N, channels, height, width\)"),
        (lambda: split(torch.zeros(6, 0, 2, 2)), r"images of shape \(6, 0, 2, 2\)"),
        (lambda: split(torch.zeros(6, 1, 2, 2, dtype=torch.int64)), r"images of type int64: images are uint8"),
        (lambda: split(torch.zeros(6, 1, 2, 2, dtype=torch.bfloat16)), r"images of type bfloat16"),
        (lambda: split(labels=torch.zeros(6, dtype=torch.int32)), "labels of type int32: wanted is int64"),
        (lambda: split(labels=torch.zeros(5, dtype=torch.int64)), r"labels of shape \(5,\) for 6 images"),
        (lambda: split(labels=torch.zeros(6, 2, dtype=torch.int64)), r"labels of shape \(6, 2\) for 6 images"),
        (lambda: split(index=torch.arange(7)), r"index of shape \(7,\) for 6 images"),
        (
            lambda: dataset(split(labels=torch.tensor([0, 1, 2, 0, 1, 0]))),
            "mine: train labels from 0 to 2, but there are 2",
        ),
        (lambda: dataset(split(), split(labels=torch.tensor([0, -1] * 3))), "mine: test labels from -1 to 0"),
        (lambda: dataset(split(255 * torch.ones(6, 1, 2, 2))), r"mine: train pixels from 255 to 255: images are uint8"),
        (lambda: dataset(split(-torch.ones(6, 1, 2, 2))), r"mine: train pixels from -1 to -1"),
        (lambda: dataset(split(torch.full((6, 1, 2, 2), torch.nan))), r"mine: train pixels from nan to nan"),
        (lambda: dataset(split(torch.arange(24).view(6, 1, 2, 2).remainder(2).byte())), "pixels are uint8 from 0 to 1"),
        (
            lambda: dataset(split(index=torch.tensor([0, 1, 2, 3, 4, 4]))),
            "index must be from 0 on and name no image twice",
        ),
        (lambda: dataset(split(), split(index=torch.arange(6) - 1)), "mine: test index must be from 0 on"),
        (lambda: dataset(split(), split(torch.zeros(6, 1, 2, 2, dtype=torch.uint8))), "the splits' images differ"),
        (
            lambda: dataset(split(), split(torch.zeros(6, 1, 2, 3))),
            r"differ, \(1, 2, 2\) float32 and \(1, 2, 3\) float32",
        ),
    ],
)
def test_anything_else_is_refused_in_a_line(mistake, message):
    with pytest.raises(DataError, match=message) as caught:
        mistake()
    assert "\n" not in str(caught.value)


def test_the_first_images_and_chosen_ones_keep_their_index():
    digits = DATASETS["digits"]()
    first = digits.first(7)
    assert first.test.index.tolist() == digits.test.index.sort().values[:7].tolist()
    assert first.num_classes == 10
    wanted = digits.test.index[[30, 2, 11]].tolist()
    chosen = digits.at(None, wanted)
    assert chosen.test.index.tolist() == wanted
    assert torch.equal(chosen.test.images[1], digits.test.images[2])
    assert len(chosen.train) == len(digits.train)
    with pytest.raises(ConfigError, match=r"dataset.test_indices=\[99999\]: digits has no test image 99999"):
        digits.at(None, [99999])


def test_a_class_without_images_in_a_subset_can_still_be_restricted_to():
    mine = dataset(split()).first(1)
    assert mine.restricted([1, 0]).train.labels.tolist() == [1]
