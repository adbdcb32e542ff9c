"""Checkpoints, arrays and links from a stranger: nothing is unpickled or written through, each refusal is a line."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bdry.data import DATASETS
from bdry.errors import DataError, RunError
from bdry.runs import Measurement, Run
from bdry.runs.checkpoint import checkpoint_step, load_classifier
from bdry.session.open_run import open_run

from .hostile import Payload, _nothing_is_executed  # noqa: F401


def header(size, text=b""):
    return struct.pack("<Q", size) + text


def rewritten(path, metadata):
    with safe_open(path, framework="pt") as file:
        known, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={key: value for key, value in {**known, **metadata}.items() if value is not None})


CHECKPOINTS = {
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "torch.save": lambda path: torch.save({"model": Payload()}, path),
    "a header of 10 GB": lambda path: path.write_bytes(header(10**10, b"{}")),
    "more than the file": lambda path: path.write_bytes(header(100, b"{}")),
    "deep header": lambda path: path.write_bytes(header(10**5, b"[" * 100_000)),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 7),
    "10 GB": lambda path: os.truncate(path, 10**10),
    "step": lambda path: rewritten(path, {"step": "-1"}),
    "no step": lambda path: rewritten(path, {"step": None}),
    "another run": lambda path: rewritten(path, {"run": "../x"}),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_checkpoints_are_read_without_pickle_and_refused_in_a_line(damage, copied):
    stored = open_run(str(copied), "0", torch.device("cpu"))
    path = stored.run.moment_checkpoint(0)
    CHECKPOINTS[damage](path)
    with pytest.raises(RunError, match=r"step=00000000\.safetensors") as caught:
        load_classifier(path, stored.network, stored.run.name)
    assert len(str(caught.value).splitlines()) == 1
    CHECKPOINTS[damage](stored.run.last_checkpoint)
    if damage != "10 GB":
        with pytest.raises(RunError):
            checkpoint_step(stored.run.last_checkpoint, stored.run.name)


@pytest.mark.parametrize("damage", ["a pickle", "a pipe", "no step"])
def test_commands_on_such_checkpoints_end_in_a_line(damage, copied, bdry_here, small):
    CHECKPOINTS[damage](copied / "checkpoints" / "last.safetensors")
    (copied / "status.json").write_text('{"state": "interrupted"}')
    for words in (["train", *small, f"outputs={copied.parents[2]}"], ["margin", f"run={copied}", "device=cpu"]):
        code, _, err = bdry_here(*words)
        assert code == 2, err
        (line,) = err.splitlines()
        assert "last.safetensors: " in line


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def huge_shape(path):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(800)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(100))
    raw = path.read_bytes()
    # the directory at the end declares 4 GB
    place = raw.rindex(b"PK\x01\x02") + 24
    path.write_bytes(raw[:place] + struct.pack("<I", 2**32 - 2) + raw[place + 4 :])


ARRAYS = {
    "objects": lambda path: npz(path, a=np.array([Payload()], dtype=object)),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "a pickle inside": lambda path: zipfile.ZipFile(path, "w").writestr("a.npy", pickle.dumps(Payload())),
    "huge shape": huge_shape,
    "4 GB unpacked": zip_bomb,
    "npy": lambda path: np.save(path.open("wb"), np.ones(3)),
    "no zip": lambda path: path.write_bytes(b"PK\x03\x04 and no more"),
    "text": lambda path: zipfile.ZipFile(path, "w").writestr("readme", "hello"),
    "a pipe": os.mkfifo,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ARRAYS)
def test_arrays_are_read_without_pickle_and_refused_in_a_line(damage, copied):
    run = Run(copied)
    path = run.arrays_path("svm", 0)
    path.parent.mkdir()
    ARRAYS[damage](path)
    with pytest.raises(RunError, match=r"svm-step=00000000.npz: ") as caught:
        run.read_arrays("svm", 0)
    assert len(str(caught.value).splitlines()) == 1


def link(name):
    def make(run, outside):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        target = outside if name in ("tables", "checkpoints", "figures", "measurements") else outside / "mine.csv"
        path.symlink_to(target)

    return make


LINKS = ["tables", "checkpoints", "figures", "lock", "tables/history.csv", "config.yaml", "tables/new.csv"]


@pytest.mark.parametrize("name", LINKS)
def test_training_does_not_go_on_through_a_link(name, copied, outside):
    link(name)(copied, outside)
    with pytest.raises(RunError, match=rf"{name}: a link or a device"), Run(copied).claimed():
        pass


def test_commands_that_write_through_a_link_end_in_a_line(copied, outside, tmp_path, bdry_here, small):
    (copied / "status.json").write_text('{"state": "interrupted"}')
    link("measurements")(copied, outside)
    figures = tmp_path / "drawn" / "figures"
    figures.parent.mkdir()
    figures.symlink_to(outside)
    for words in (
        ["train", *small, f"outputs={copied.parents[2]}"],
        ["margin", f"run={copied}", "device=cpu", "num_train=2", "num_test=2"],
        ["figures", f"runs={copied}", "unfinished=true", f"outputs={figures.parent}", "figure=margin_evolution"],
    ):
        code, _, err = bdry_here(*words)
        assert code == 2, err
        assert "a link or a device; bdry writes through none" in err.splitlines()[-1]


def test_a_run_that_is_a_link_itself_is_not_written(copied, outside):
    moved = copied.rename(copied.with_name("moved"))
    copied.symlink_to(outside)
    for folder in (Run(copied), Measurement(copied / "x")):
        with pytest.raises(RunError, match="a link"), folder.claimed():
            pass
    assert moved.exists()


def test_a_temporary_file_is_not_written_through(copied, outside):
    from bdry.runs.files import write_text

    (copied / f".new.{os.getpid()}.part").symlink_to(outside / "mine.csv")
    write_text(copied / "new", "text")
    assert (copied / "new").read_text() == "text"


def test_an_archive_has_nothing_from_outside(copied, outside, tmp_path, monkeypatch, bdry_here):
    shutil.rmtree(copied / "figures")
    (copied / "figures").symlink_to(outside)
    (copied / "tables" / "mine.csv").symlink_to(outside / "mine.csv")
    (copied / "measurements" / "m").mkdir(parents=True)
    (copied / "measurements" / "m" / "tables").symlink_to(outside)
    monkeypatch.chdir(copied / "tables")
    # a path with .. in it must not become a name with .. in it
    assert bdry_here("export", "..", "--output", tmp_path / "a.zip")[0] == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
    assert f"{copied.parent.name}/seed=0/config.yaml" in names
    assert not any("mine" in name or ".." in name for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text, and files with holes")
def test_an_archive_takes_files_of_any_name_and_time_and_none_without_end(copied, tmp_path, bdry_here):
    os.utime(copied / "tables" / "history.csv", (0, 0))
    (copied / "tables" / "odd\udcff.csv").write_text("a\n")
    (copied / "figures" / "large.png").touch()
    os.truncate(copied / "figures" / "large.png", 2**40)
    code, _, err = bdry_here("export", copied, "--output", tmp_path / "a.zip")
    (line,) = err.splitlines()
    assert (code, line) == (0, f"skipped: {copied / 'figures' / 'large.png'}: too large ({2**40} bytes)")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = [name.rpartition("/")[2] for name in archive.namelist()]
        assert archive.testzip() is None
    assert {"history.csv", r"odd\udcff.csv"} <= {*names}
    assert "large.png" not in names


def test_a_tampered_cifar_pickle_is_not_unpickled(tmp_path):
    from bdry._vision import torchvision_datasets

    source = torchvision_datasets().CIFAR10
    folder = tmp_path / source.base_folder
    folder.mkdir()
    for name, _ in [*source.train_list, *source.test_list, [source.meta["filename"], ""]]:
        (folder / name).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match="its md5 is not the official one"):
        DATASETS["cifar10"](root=str(tmp_path), download=False)
    (folder / "data_batch_1").unlink()
    os.mkfifo(folder / "data_batch_1")
    with pytest.raises(DataError, match="data_batch_1: not a file"):
        DATASETS["cifar10"](root=str(tmp_path), download=False)
