"""Images of the user's own: folders of files, arrays in files, and what is said where they are not right."""

from __future__ import annotations

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from bdry.data import DATASETS
from bdry.data.dataset import divided, whole_split
from bdry.errors import ConfigError, DataError
from bdry.session.digests import files_digest

ARRAYS = {
    "labels_file": None,
    "test_file": None,
    "test_labels_file": None,
    "images": None,
    "labels": None,
    "test_images": None,
    "test_labels": None,
    "shape": None,
    "class_names": None,
    "test_fraction": 0.25,
    "split_seed": 0,
}
LEVELS = np.random.default_rng(0).integers(0, 256, (12, 4, 5), dtype=np.uint8)
LABELS = np.arange(12) % 3


def png(depth, kind, *rows):
    """A PNG of one line, which Pillow does not write in every depth."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, len(rows), depth, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(rows))),
    ]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", *chunks, struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))]
    )


COLOURS_OF_16_BITS = png(16, 2, b"\0\1\2\3\4\5\6")


def folder(root, **changes):
    settings = {"channels": "grey", "size": None, "test_fraction": 0.25, "split_seed": 0}
    return DATASETS["folder"](root=str(root), **settings | changes)


def arrays(file, **changes):
    return DATASETS["arrays"](file=str(file), **ARRAYS | changes)


def write_images(place, arrays=LEVELS, mode="L"):
    for i, (image, label) in enumerate(zip(arrays, LABELS, strict=True)):
        path = place / "cde"[label] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert(mode).save(path)
    return place


def test_a_folder_a_class_gives_its_images_and_names(tmp_path):
    mine = folder(write_images(tmp_path))
    assert mine.class_names == ("c", "d", "e")
    assert mine.image_shape == (1, 4, 5)
    assert (len(mine.train), len(mine.test)) == (9, 3)
    assert mine.test.labels.tolist() == [0, 1, 2]
    for part in (mine.train, mine.test):
        for image, label, index in zip(part.images, part.labels, part.index.tolist(), strict=True):
            # in the order of the paths: four of each class
            number = 3 * (index % 4) + index // 4
            assert np.array_equal(image[0].numpy(), LEVELS[number])
            assert int(label) == LABELS[number]


def test_folders_train_and_test_are_the_splits_and_colour_and_size_are_as_asked(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)
    for part in ("train", "test"):
        write_images(tmp_path / part, colours, "RGB")
    mine = folder(tmp_path, channels="colour")
    assert (len(mine.train), len(mine.test)) == (12, 12)
    assert np.array_equal(mine.train.images[0].permute(1, 2, 0).numpy(), colours[0])
    assert folder(tmp_path, channels="grey", size=[3, 2]).image_shape == (1, 3, 2)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda p: p / "nowhere", "nowhere: not a folder; wanted is <root>/<class>/<image>"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "empty: no folder of a class in it; wanted is <root>/<class>"),
        (lambda p: (write_images(p) / "f").mkdir() or p, r"no image \(jpg, .*\) in f; wanted is <root>/<class>"),
        (lambda p: write_images(p / "train") and p, "train are splits by their names.*or dataset.root=.*train has the"),
        (lambda p: write_images(p / "Val") and write_images(p / "train") and p, "Val, train are splits by their names"),
        (lambda p: shutil.rmtree(write_images(p) / "c") or shutil.rmtree(p / "d") or p, "folder: e is its only class"),
        (lambda p: (write_images(p) / "c" / "00.png").write_bytes(COLOURS_OF_16_BITS) and p, "00.png: more than 8 bits a channel .RGB;16B"),  # noqa: E501
        (lambda p: (write_images(p) / "c" / "00.png").write_text("no") and p, "00.png: cannot be read as an image"),
        (lambda p: Image.new("L", (9, 9)).save(write_images(p) / "e" / "x.png") or p, r"x.png: 9x9 pixels, but 00.png has 4x5: dataset.size="),  # noqa: E501
        (lambda p: Image.new("I;16", (5, 4)).save(write_images(p) / "e" / "x.png") or p, "x.png: more than 8 bits"),
        (lambda p: (write_images(p) / "e" / "x.JFIF").write_bytes(b"") or p, r"x.JFIF: images of this kind are not read \(jpg"),  # noqa: E501
        (lambda p: Image.new("L", (5, 4)).save(write_images(p) / "e" / "x.gif") or p, "x.gif: images of this kind"),
        (lambda p: os.mkfifo(write_images(p) / "e" / "x.png") or p, "x.png: no file, or a link to none"),
        (lambda p: (write_images(p) / "e" / "x.png").symlink_to("gone.png") or p, "x.png: no file, or a link to none"),
        (lambda p: (write_images(p) / "e" / "loop").symlink_to(p) or p, "by links the same file as"),
        (lambda p: (write_images(p) / "e" / "x.png").symlink_to(p / "c" / "00.png") or p, "x.png: by links the same"),
    ],
)  # fmt: skip
def test_folders_that_are_not_right_are_answered_in_a_line(mistake, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        folder(mistake(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_systems_hide_is_no_image_no_class_and_no_change(tmp_path):
    before = folder(write_images(tmp_path)), files_digest([str(tmp_path)])
    for name in (".DS_Store", "c/._00.png", "d/.thumbnails/00.png", ".ipynb_checkpoints/x.png", "__MACOSX/c/._00.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"\0\5")
    mine = folder(tmp_path)
    assert mine.class_names == before[0].class_names
    assert mine.checksums() == before[0].checksums()
    assert files_digest([str(tmp_path)]) == before[1]
    (tmp_path / "d" / "new.png").write_bytes((tmp_path / "d" / "01.png").read_bytes())
    assert files_digest([str(tmp_path)]) != before[1]


def test_nested_folders_belong_to_their_class_and_a_hidden_root_is_read(tmp_path):
    place = write_images(tmp_path / ".cache" / "mine")
    (place / "c" / "2020").mkdir()
    (place / "c" / "00.png").rename(place / "c" / "2020" / "00.png")
    mine = folder(place)
    assert torch.cat([mine.train.labels, mine.test.labels]).bincount().tolist() == [4, 4, 4]


def test_a_class_whose_name_is_no_text(tmp_path):
    (write_images(tmp_path) / "d").rename(tmp_path / os.fsdecode(b"d\xff"))
    assert folder(tmp_path).class_names == ("c", r"d\xff", "e")
    assert len(files_digest([str(tmp_path)])) == 64


def test_a_class_that_is_a_link_is_read_and_its_changes_are_seen(tmp_path):
    elsewhere = write_images(tmp_path / "disk")
    place = write_images(tmp_path / "mine")
    shutil.rmtree(place / "d")
    (place / "d").symlink_to(elsewhere / "d")
    assert folder(place).class_names == ("c", "d", "e")
    before = files_digest([str(place)])
    Image.new("L", (5, 4)).save(elsewhere / "d" / "01.png")
    assert files_digest([str(place)]) != before
    # a link that leads back has an end
    (place / "d" / "loop").symlink_to(place)
    assert files_digest([str(place)]) == files_digest([str(place)])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_files_of_other_modes_are_converted_without_a_word(mode, tmp_path):
    write_images(tmp_path)
    odd = Image.fromarray(LEVELS[0]).convert(mode)
    more = {"transparency": bytes(range(256))} if mode == "P" else {}
    odd.save(tmp_path / "c" / f"00.{'tif' if mode == 'CMYK' else 'png'}", **more)
    mine = folder(tmp_path, channels="grey")
    if mode != "1":
        assert np.abs(mine.train.images[0, 0].numpy().astype(int) - LEVELS[0]).max() <= 1


def test_test_classes_that_differ_are_named(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    (tmp_path / "test" / "e").rename(tmp_path / "test" / "f")
    with pytest.raises(DataError, match="train and test have different classes, e is in one"):
        folder(tmp_path)


@pytest.mark.parametrize("values", [LEVELS, (LEVELS / 255).astype(np.float32), LEVELS / 255])
@pytest.mark.parametrize("names", [("images", "labels"), ("x_train", "y_train"), ("mine", "classes")])
def test_npz_of_levels_or_floats_under_any_names(values, names, tmp_path):
    np.savez(tmp_path / "a.npz", **{names[0]: values, names[1]: LABELS})
    keys = {"images": "mine", "labels": "classes"} if names[0] == "mine" else {}
    mine = arrays(tmp_path / "a.npz", **keys)
    assert (len(mine.train), len(mine.test)) == (9, 3)
    assert mine.class_names == ("0", "1", "2")
    expected = torch.from_numpy(LEVELS / np.float32(255))[:, None]
    torch.testing.assert_close(mine.train.pixels(), expected[mine.train.index])
    assert mine.train.labels.tolist() == LABELS[mine.train.index.numpy()].tolist()


def test_both_splits_words_as_labels_and_channels_last(tmp_path):
    colours = np.random.default_rng(1).random((12, 4, 5, 3))
    words = np.array(["cat", "dog", "emu"])[LABELS]
    np.savez(tmp_path / "a.npz", x_train=colours, y_train=words, x_test=colours[:5], y_test=words[:5])
    mine = arrays(tmp_path / "a.npz")
    assert (len(mine.train), len(mine.test)) == (12, 5)
    assert mine.class_names == ("cat", "dog", "emu")
    assert mine.image_shape == (3, 4, 5)
    assert mine.train.images[2, 1, 3, 4] == pytest.approx(colours[2, 3, 4, 1])


def test_npy_files_and_class_names_of_numbers_that_do_not_start_at_zero(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    np.save(tmp_path / "y.npy", LABELS + 5)
    files = {name: str(tmp_path / "y.npy") for name in ("labels_file", "test_labels_file")}
    mine = arrays(tmp_path / "x.npy", **files, test_file=str(tmp_path / "x.npy"))
    assert mine.class_names == ("5", "6", "7")
    assert mine.test.labels.tolist() == LABELS.tolist()
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(DataError, match=r"pipe\.npy: no such file"):
        arrays(tmp_path / "x.npy", labels_file=str(tmp_path / "pipe.npy"))


@pytest.mark.parametrize("decimals", [False, True])
def test_a_csv_with_a_column_of_labels(decimals, tmp_path):
    flat = LEVELS.reshape(12, -1)
    rows = (flat / 255).round(6) if decimals else flat
    lines = ["label," + ",".join(f"p{i}" for i in range(20))]
    lines += [",".join(["ab"[label % 2], *map(str, row)]) for label, row in zip(LABELS, rows.tolist(), strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    mine = arrays(tmp_path / "a.csv", shape=[1, 4, 5])
    assert mine.class_names == ("a", "b")
    assert mine.train.images.dtype == (torch.float32 if decimals else torch.uint8)
    expected = torch.from_numpy(LEVELS / np.float32(255))[:, None]
    torch.testing.assert_close(mine.train.pixels(), expected[mine.train.index], atol=1e-6, rtol=0)
    assert arrays(tmp_path / "a.csv").image_shape == (1, 1, 20)


def npz(place, **named):
    np.savez(place / "a.npz", **named)
    return place / "a.npz"


def csv(place, text):
    (place / "a.csv").write_text(text)
    return place / "a.csv"


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.asfortranarray(LEVELS), LABELS.astype(">i8")),
        ((LEVELS / 255).astype(">f8"), LABELS.astype(">f4")),
        ((LEVELS / 255).astype(np.longdouble), LABELS.astype(np.uint8)),
        (np.repeat(LEVELS, 2, 2)[:, :, ::2], np.array([b"a", "\xe9".encode(), b"\xff"])[LABELS]),
    ],
    ids=["Fortran", "big-endian", "long", "strided and bytes"],
)
def test_arrays_of_any_order_and_layout_are_what_they_say(images, labels, tmp_path):
    mine = arrays(npz(tmp_path, images=images, labels=labels))
    expected = torch.from_numpy(LEVELS / np.float32(255))[:, None]
    torch.testing.assert_close(mine.train.pixels(), expected[mine.train.index], atol=1e-6, rtol=0)
    # bytes that are no text sort first, as \xff
    numbers = torch.from_numpy(LABELS)[mine.train.index]
    assert mine.train.labels.tolist() == ((numbers + 1) % 3 if labels.dtype.kind == "S" else numbers).tolist()


@pytest.mark.parametrize(
    ("mistake", "changes", "message"),
    [
        (lambda p: p / "a.npz", {}, "a.npz: no such file"),
        (lambda p: npz(p, images=LEVELS.astype(int), labels=LABELS), {}, r"images of type int64: .*astype\('uint8'\)"),
        (lambda p: npz(p, images=LEVELS * 1.0, labels=LABELS), {}, "a.npz: pixels from 0 to 25.*images / 255"),
        (lambda p: npz(p, images=LEVELS / 9 - 1, labels=LABELS), {}, "a.npz: pixels from -1 .*give preprocessing.mean and"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS[:5]), {}, "12 images, but 5 labels"),
        (lambda p: npz(p, images=LEVELS, labels=LABELS + 0.5), {}, "labels of shape .* float64: wanted is one whole"),
        (lambda p: npz(p, images=LEVELS, labels=np.eye(3)[LABELS]), {}, r"labels of shape \(12, 3\)"),
        (lambda p: npz(p, pictures=LEVELS, labels=LABELS), {}, "no array images in it, there are pictures, labels: dataset.images="),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS, x_test=LEVELS), {}, "test images and test labels go together"),
        (lambda p: npz(p, images=np.array([{}] * 12), labels=LABELS), {}, "cannot be read as .npy or .npz of numbers"),
        (lambda p: npz(p, images=LEVELS, labels=LABELS), {"shape": [1, 4, 6]}, "dataset.shape=.* has 20 numbers an image"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS), {"class_names": ["a"]}, r"dataset.class_names=\[a\]: .* has 3 classes"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS), {"images": "x"}, "no array x in it, there are images, labels"),
        (lambda p: np.save(p / "a.npy", LEVELS) or p / "a.npy", {}, "images without labels: dataset.labels_file="),
        (lambda p: csv(p, "x,y\n1,2\n"), {}, r"no column label \(the first are x, y\): dataset.labels="),
        (lambda p: csv(p, "0,0.5,0.25,0.25\n1,0,1e-3,1\n"), {}, r"its first line is numbers \(0, 0.5, 0.25, 0.25.1\): wanted is a header"),  # noqa: E501
        (lambda p: csv(p, "label;x;y\n1;2;3\n"), {}, "one column alone, label;x;y: wanted are commas"),
        (lambda p: csv(p, ",label,x\n0,1,7\n1,0,200\n"), {}, "a column without a name, as of row numbers"),
        (lambda p: npz(p, images=np.zeros((12, 8, 8, 4)), labels=LABELS), {}, r"channels last are understood where .*\[..., :3\]"),  # noqa: E501
        (lambda p: npz(p, images=np.zeros((12, 8, 8, 5)), labels=LABELS), {}, r"dataset.shape=\[8,8,5\] if they come first"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS[:0], labels=LABELS[:0]), {}, "a.npz: no image in it"),
        (npz, {}, "no array images in it, there are none"),
        (lambda p: p, {}, "dataset=folder dataset.root=.* reads a folder"),
        (lambda p: csv(p, "no numbers").rename(p / "a.npy"), {}, "of numbers .it is neither, or holds"),
        (lambda p: np.save(p / "a.npy", LEVELS) or p / "a.npy", {"labels_file": "y.npy"}, "y.npy: no such file"),
        (lambda p: csv(p, "label\n0\n1\n"), {}, "2 rows of 0 pixels"),
        (lambda p: csv(p, "label,x\n"), {}, "0 rows of 1 pixels"),
        (lambda p: csv(p, "id,label,x\n1,1,9\n2,0,8\n"), {}, "a column id, as of row numbers"),
        (lambda p: csv(p, "label,x,y\n0,1,9\n1,0,800\n"), {}, "column y has numbers from 9 to 800"),
        (lambda p: npz(p, images=LEVELS, labels=LABELS * 0), {}, "0 is its only class: a boundary needs two"),
        (lambda p: csv(p, "label,x\n1,two\n"), {}, "column x holds something else than numbers"),
        (lambda p: csv(p, "label,x\n1,\n"), {}, "column x holds something else than numbers"),
        (lambda p: csv(p, ""), {}, "a.csv: cannot be read as a table"),
        (lambda p: csv(p, "label,x\n1,2,3\n0,5,6\n"), {}, "rows have more numbers than its first line has names"),
        (lambda p: csv(p, "label,label,x\n1,2,3\n0,5,6\n"), {}, "two columns label: wanted is one"),
        (lambda p: npz(p, images=LEVELS / 255 + 1e-7, labels=LABELS), {}, r"to 1.0000001: .*; by rounding: images.clip"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS / 255 - 1e-9, labels=LABELS), {}, r"pixels from -1e-09 to .*images.clip"),
        (lambda p: npz(p, images=LEVELS * 1e300, labels=LABELS), {}, r"pixels from 0 to 2.5\de.302: images are uint8"),
        (lambda p: npz(p, images=np.float32(0.5), labels=LABELS), {"shape": [1, 4, 5]}, r"images of shape \(\): wanted is"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=np.where(LABELS == 1, np.inf, LABELS)), {}, "labels of .* float64: wanted is"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS * 1e300), {}, "whole number of 64 bits or word an image"),
        (lambda p: npz(p, images=LEVELS, labels=LABELS.astype(np.uint64) + np.uint64(2**63)), {}, "uint64: wanted is one whole"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=np.array(["", "b", "c"])[LABELS]), {}, "class 0 is called ''"),
        (lambda p: npz(p, images=LEVELS, labels=LABELS), {"class_names": ["a", "b", "a"]}, "class 2 is called 'a': wanted is a name"),  # noqa: E501
        (lambda p: npz(p, images=LEVELS, labels=LABELS), {"labels_file": "y.npy"}, "dataset.labels_file=y.npy: goes with images of an .npy; a.npz"),  # noqa: E501
    ],
)  # fmt: skip
def test_arrays_that_are_not_right_are_answered_in_a_line(mistake, changes, message, tmp_path):
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        arrays(mistake(tmp_path), **changes)
    assert "\n" not in str(caught.value)


def test_iris_is_scikit_learns():
    from sklearn.datasets import load_iris

    raw = load_iris()
    iris, two = (DATASETS["iris"](setosa_or_not=binary) for binary in (False, True))
    assert iris.image_shape == (1, 1, 4)
    assert sorted(iris.test.labels.bincount().tolist()) == [16, 17, 17]
    np.testing.assert_allclose(10 * iris.train.pixels()[:, 0, 0], raw.data[iris.train.index.numpy()], rtol=1e-6)
    assert two.class_names == ("setosa", "not setosa")
    assert torch.equal(two.train.labels, iris.train.labels.clamp_max(1))


@pytest.mark.parametrize(("counts", "for_testing"), [((100, 10), (20, 2)), ((3, 1, 2), (1, 0, 1)), ((5, 5), (1, 1))])
def test_of_unequal_classes_a_share_of_each_is_for_testing(counts, for_testing):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.zeros(len(labels), 1, 1, 2)
    train, test = divided(whole_split(images, labels), 0.2, seed=0)
    assert test.labels.bincount(minlength=len(counts)).tolist() == list(for_testing)
    assert sorted([*train.index.tolist(), *test.index.tolist()]) == list(range(len(labels)))
    again, _ = divided(whole_split(images, labels), 0.2, seed=1)
    assert sum(counts) < 10 or again.index.tolist() != train.index.tolist()


def test_of_equal_classes_the_images_for_testing_are_a_balanced_subset():
    whole = whole_split(torch.zeros(60, 1, 1, 2), torch.arange(60) % 3)
    _, test = divided(whole, 0.2, seed=4)
    assert test.index.tolist() == whole.balanced(12, seed=4).index.tolist()


def test_larger_integers_are_told_how_they_become_pixels(tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.full((6, 2, 2), 40_000, np.uint16), labels=np.arange(6) % 2)
    with pytest.raises(DataError, match=r"numbers up to 65535: \(images / 65535\)\.astype\('float32'\)"):
        arrays(tmp_path / "mine.npz")


def test_labels_that_count_from_another_number_in_the_test_split_are_named(tmp_path):
    images = np.zeros((4, 2, 2), np.float32)
    both = {"images": images, "labels": [0, 1, 0, 1], "test_images": images, "test_labels": [1, 2, 1, 2]}
    np.savez(tmp_path / "mine.npz", **both)
    with pytest.raises(DataError, match="no training image has the label 2 of test images"):
        arrays(tmp_path / "mine.npz")
    # a class that is named may have no image for training
    assert arrays(tmp_path / "mine.npz", class_names=["a", "b", "c"]).num_classes == 3
