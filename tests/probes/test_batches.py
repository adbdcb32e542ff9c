"""Batches that shrink where memory runs out: every image once, in order, and one message."""

from __future__ import annotations

import pytest
import torch

from bdry.data import Split
from bdry.errors import MeasuringError
from bdry.studies.margins.in_batches import FittingBatches


def split(n):
    return Split(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), torch.arange(n))


def estimator_with_room_for(images, error):
    def measure(batch):
        if len(batch) > images:
            raise error
        return batch.index.tolist()

    return measure


WORDS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", WORDS, ids=["cuda", "mps", "cpu"])
@pytest.mark.parametrize("room", [1, 3, 7, 100])
def test_every_image_is_measured_once_and_in_order(error, room):
    said = []
    batches = FittingBatches(64, lambda *sizes: said.append(sizes))
    found = [result for _, result in batches.measure(split(50), estimator_with_room_for(room, error))]
    assert [index for result in found for index in result] == list(range(50))
    assert max(map(len, found)) <= room
    assert len(said) == (room < 50)
    if room == 3:
        # 64 images are 50 here, halved to 25, 12, 6, 3
        assert said == [(64, 3)]
        assert [len(result) for result in found] == [3] * 16 + [2]


def test_the_size_stays_halved_for_what_follows():
    said = []
    batches = FittingBatches(8, lambda *sizes: said.append(sizes))
    measure = estimator_with_room_for(4, WORDS[0])
    for _ in range(2):
        assert [len(batch) for batch, _ in batches.measure(split(10), measure)] == [4, 4, 2]
    assert said == [(8, 4)]


def test_no_room_for_one_image_is_one_clear_line():
    with pytest.raises(MeasuringError, match="not enough memory for a single image") as caught:
        list(FittingBatches(8).measure(split(10), estimator_with_room_for(0, WORDS[2])))
    assert len(str(caught.value).splitlines()) == 1


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"):
        list(FittingBatches(8).measure(split(10), estimator_with_room_for(4, RuntimeError("shapes do not fit"))))
