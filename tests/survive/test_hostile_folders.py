"""A run's folder from a stranger: nothing in it is executed, nothing is written outside, each refusal is a line."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from bdry.data import DATASETS
from bdry.errors import DataError, RunError
from bdry.runs import Measurement, Run
from bdry.runs.checkpoint import checkpoint_step, load_classifier
from bdry.session.made_by import settings_given
from bdry.session.open_run import open_run

MARK = "executed"


class Payload:
    """Makes the folder `executed` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (MARK,)


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARK).exists()


def change(run, **values):
    config = yaml.safe_load((run / "config.yaml").read_text())
    for key, value in values.items():
        node = config
        *groups, last = key.split("__")
        for group in groups:
            node = node[group]
        node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def add(text):
    return lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text() + text)


def write(name, content):
    return lambda run: (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def put(name, make):
    def damage(run):
        (run / name).unlink()
        make(run / name)

    return damage


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
DEEP = "[" * 100_000
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
# what is done to a run's folder -> what `bdry runs` says, or None where the folder stays a run that can be listed
DAMAGES = {
    "python-apply": (add(f"evil: !!python/object/apply:os.mkdir [{MARK}]\n"), "could not determine a constructor"),
    "python-name": (add("evil: !!python/name:os.system\n"), "could not determine a constructor"),
    "aliases": (add(BOMB), "an alias"),
    "resolver": (lambda run: change(run, study="${oc.env:HOME}"), "is not resolved"),
    "deep-config": (write("config.yaml", DEEP), "config.yaml: damaged"),
    "large-config": (lambda run: os.truncate(run / "config.yaml", 2**34), "too large"),
    "bytes-config": (write("config.yaml", b"\xff\xfe\x00"), "config.yaml: damaged"),
    "date": (add("when: 2026-11-20\n"), "is not plain data"),
    "bad-date": (add("when: 2026-99-99\n"), "config.yaml: damaged"),
    "list": (write("config.yaml", "[1, 2]"), "not a mapping"),
    "dataset-is-a-number": (lambda run: change(run, dataset=3), "not the config of a run"),
    "training-is-a-list": (lambda run: change(run, training=[1]), "not the config of a run"),
    "seed-is-a-word": (lambda run: change(run, seed="0"), "not the config of a run"),
    "formula": (lambda run: change(run, study="=cmd|' /C calc'!A0"), "not a name: study"),
    "escape": (lambda run: change(run, dataset__name="\x1b[2Jcleared"), "not a name: dataset"),
    "config-is-a-pipe": (put("config.yaml", os.mkfifo), "not a file"),
    "config-is-a-device": (put("config.yaml", lambda path: path.symlink_to("/dev/zero")), "not a file"),
    "config-is-a-folder": (put("config.yaml", Path.mkdir), "not a file"),
    "status-is-a-pipe": (put("status.json", os.mkfifo), "not a file"),
    "deep-status": (write("status.json", DEEP), "status.json: damaged"),
    "status-is-a-list": (write("status.json", "[1]"), "not finished (unknown at step 0"),
    "state-is-a-list": (write("status.json", '{"state": ["finished"], "step": {}}'), "not finished (unknown"),
    "state-is-markup": (write("status.json", '{"state": "[/red]", "error": "[/]"}'), "not finished (unknown"),
    "names-lead-out": (lambda run: change(run, dataset__name="../../../../outside/x", arch__name="a/../b"), None),
    "markup": (lambda run: change(run, study="[/bold] [red]", training__epochs="[/]"), None),
    "html": (lambda run: change(run, study=SCRIPT), None),
    "target": (add(f"evil: {{_target_: os.mkdir, _args_: [{MARK}]}}\n"), None),
    "provenance-is-a-number": (write("provenance.json", "7"), None),
    "deep-provenance": (write("provenance.json", DEEP), None),
    "provenance-of-lists": (
        write("provenance.json", '[[], {"overrides": 3, "time": [], "code": 5, "packages": 5}]'),
        None,
    ),
    "nul-in-table": (write("tables/history.csv", b"step,epoch\x00,lr\n0,0,0\n"), None),
    "words-in-table": (lambda run: spoil(run / "tables" / "margins.csv", "=1+1"), None),
    "huge-field": (lambda run: spoil(run / "tables" / "history.csv", "9" * 10**6), None),
    "no-rows": (lambda run: spoil(run / "tables" / "margin_summary.csv", None), None),
    "table-is-a-pipe": (put("tables/margin_summary.csv", os.mkfifo), None),
    "table-is-a-folder": (put("tables/history.csv", Path.mkdir), None),
    "unknown-norm": (lambda run: swap(run / "tables" / "margin_summary.csv", "l2", "../l7"), None),
}


def spoil(path, cell):
    """Every cell of the table becomes `cell`; without one only the header stays."""
    header, *rows = path.read_text().splitlines()
    spoiled = [",".join([cell] * (row.count(",") + 1)) for row in rows] if cell else []
    path.write_text("\n".join([header, *spoiled]) + "\n")


def swap(path, old, new):
    path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def strangers(trained, tmp_path_factory, bdry_here):
    """A tree with a run for each of `DAMAGES` and one that is whole, and what the commands on all of it have said."""
    place = tmp_path_factory.mktemp("strangers")
    for name, (damage, _) in {"whole": (lambda run: None, None), **DAMAGES}.items():
        shutil.copytree(trained, place / "runs" / name / "seed=0")
        damage(place / "runs" / name / "seed=0")
    out = tmp_path_factory.mktemp("out")
    archive, drawn = out / "all.zip", f"outputs={out}"
    lines = {
        "runs": ["runs", place, "--csv"],
        "runs for people": ["runs", place],
        "export": ["export", place, "--output", archive],
        "figures": ["figures", f"runs={place}", "figure=margin_evolution", drawn],
        "report": ["report", f"runs={place}", drawn],
    }
    before = Path.cwd()
    os.chdir(out)
    try:
        said = {name: bdry_here(*words) for name, words in lines.items()}
    finally:
        os.chdir(before)
    return place, out, said


def test_commands_on_many_runs_go_on_without_the_bad_ones(strangers):
    _, out, said = strangers
    for name, (code, _, err) in said.items():
        assert code == 0, (name, err)
        # the measurements of a readable run may not count; on a busy machine it is said how far drawing is
        lines = [line for line in err.splitlines() if not re.fullmatch(r"([\w ,]+, )?figure \d+ of \d+: \w+", line)]
        assert all(line.startswith(("skipped: ", "passed over: ")) for line in lines), name
        assert all(line.isprintable() for line in err.splitlines()), name
    listed = [line.split(",")[0] for line in said["runs"][1].splitlines()[1:]]
    # without --csv nor of running runs, `status.json` alone does not hide one
    unlisted = {name for name, (_, reason) in DAMAGES.items() if reason and "not finished" not in reason}
    assert set(listed) == {"whole", *DAMAGES} - unlisted
    with zipfile.ZipFile(out / "all.zip") as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"whole", *(n for n, (_, reason) in DAMAGES.items() if not reason)}
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in names)
    written = {path.relative_to(out).parts[0] for path in out.rglob("*")}
    assert written == {"all.zip", "figures", "report.html"}
    page = (out / "report.html").read_text()
    assert "onerror=alert" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("name", [name for name, (_, reason) in DAMAGES.items() if reason])
def test_a_bad_one_is_skipped_with_its_reason(name, strangers):
    place, _, said = strangers
    path = str(place / "runs" / name / "seed=0")
    commands = ["export", "figures"]
    # the report lists what is not finished
    if "not finished" not in DAMAGES[name][1]:
        commands.append("report")
    for command_name in commands:
        (line,) = [line for line in said[command_name][2].splitlines() if path in line]
        assert DAMAGES[name][1] in line


@pytest.mark.parametrize("name", DAMAGES)
def test_commands_on_a_single_one_end_in_a_line(name, strangers, bdry_here):
    place, _, _ = strangers
    run, whole = place / "runs" / name / "seed=0", place / "runs" / "whole" / "seed=0"
    for words in (["show", run], ["compare", run, whole], ["rerun", run]):
        code, out, err = bdry_here(*words)
        assert code in (0, 2)
        assert all(letter.isprintable() or letter == "\n" for letter in out + err)
        complaints = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert len(complaints) == (1 if code else 0), err


@pytest.mark.parametrize("name", ["python-apply", "aliases", "resolver", "target", "deep-config", "config-is-a-pipe"])
def test_commands_that_measure_refuse_its_config(name, strangers):
    with pytest.raises(RunError, match=name) as caught:
        open_run(str(strangers[0] / "runs" / name / "seed=0"), "last", torch.device("cpu"))
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_setting_of_train_is_no_command(copied, bdry_here):
    hostile = [
        "hydra.callbacks.x._target_=os.mkdir",
        f"+hydra.callbacks.x={{_target_:os.mkdir,_args_:[{MARK}]}}",
        "hydra/launcher=submitit_slurm",
        "--config-dir=/tmp",
        "-m",
        "~dataset",
        "dataset=../../outside/evil",
        "arch@hydra.callbacks=evil",
        "study=${oc.env:HOME}",
        "local=default",
        "\x1b]0;title\x07=1",
        f"; mkdir {MARK}",
        7,
    ]
    for word in hostile:
        assert settings_given({"overrides": ["seed=0", word]}) is None, word
        (copied / "provenance.json").write_text(json.dumps([{"overrides": [word]}]))
        code, out, err = bdry_here("rerun", copied, "--execute")
        assert (code, out) == (2, "")
        assert "does not say which command made it" in err


def test_values_do_not_reach_a_shell(copied, bdry_here):
    words = [
        f"study='$(mkdir {MARK})'",
        f"study=`mkdir {MARK}`;mkdir {MARK}",
        "arch.widths=[4]",
        "study=a b",
        "study=*",
    ]
    (copied / "provenance.json").write_text(json.dumps([{"overrides": words}]))
    code, out, _ = bdry_here("rerun", copied)
    assert code == 0
    assert shlex.split(out) == ["bdry", "train", *words]
    echoed = subprocess.run(
        ["sh", "-c", out.replace("bdry train", "printf '%s\\n'", 1)], capture_output=True, text=True
    )
    assert echoed.stdout.splitlines() == words


@pytest.mark.parametrize("word", ["outputs=/tmp/x", "outputs='../x'", "outputs=~/x", "dataset.root=/x", "+outputs=/x"])
def test_a_rerun_is_not_executed_into_another_folder(word, copied, bdry_here):
    (copied / "provenance.json").write_text(json.dumps([{"overrides": [word]}]))
    code, out, err = bdry_here("rerun", copied, "--execute")
    assert code == 2
    assert out.startswith("bdry train ")
    assert "leads out of this folder" in err


def test_data_are_not_downloaded_to_where_a_run_says(copied, outside, monkeypatch):
    change(copied, dataset={"name": "mnist", "root": str(outside), "download": True, "classes": None})
    asked = []

    def refuse(source, folder, files, download):
        asked.append((folder, download))
        raise DataError("no network")

    monkeypatch.setattr("bdry.data.vision._fetch", refuse)
    monkeypatch.setenv("BDRY_DATA", "/nowhere")
    with pytest.raises(DataError, match="no network"):
        open_run(str(copied), "last", torch.device("cpu"))
    assert asked == [(outside, False), (Path("/nowhere"), True)]


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
    "deep header": lambda path: path.write_bytes(header(10**5, DEEP.encode())),
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
