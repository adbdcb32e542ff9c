"""A run's folder: its name, its owner, its state, its checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from bdry.errors import RunError, UsageError
from bdry.models import build_classifier
from bdry.runs import SCHEMA_VERSION, Run, find_runs, provenance, run_name
from bdry.runs.checkpoint import load_classifier, load_training, save_classifier, save_training
from bdry.runs.files import file_name, replacing, write_json, write_text
from bdry.runs.reading import read_json

SCIENCE = {"dataset": {"name": "digits"}, "arch": {"name": "mlp"}, "adv": {"name": "none"}, "lr": 0.1}


def test_the_path_is_a_function_of_the_config(tmp_path):
    shuffled = dict(reversed(SCIENCE.items()))
    assert Run.of(str(tmp_path), SCIENCE, 3).path == Run.of(str(tmp_path), shuffled, 3).path
    assert run_name(SCIENCE) != run_name({**SCIENCE, "lr": 0.2})
    assert Run.of(str(tmp_path), SCIENCE, 3).path.parts[-2:] == (run_name(SCIENCE), "seed=3")
    hostile = {**SCIENCE, "arch": {"name": "../../up:x"}}
    assert "/" not in run_name(hostile)
    assert ":" not in run_name(hostile)


def test_a_long_name_of_a_file_is_cut_and_stays_another_than_others():
    assert file_name("evolution", "a,b", "c/d") == "evolution-ab-c_d"
    names = {file_name("evolution", "a" * 1000, end) for end in ("x", "y")}
    assert len(names) == 2
    assert all(len(f".{name}.caption.md.1234567.part") < 255 for name in names)


def test_a_path_that_is_no_text_is_kept_in_json(tmp_path):
    value = {"folder": "bad\udcff", "word": "größer × 4"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_a_place_whose_name_is_no_text_is_refused_before_anything_is_written(tmp_path):
    run = Run.of(str(tmp_path / "bad\udcff"), SCIENCE, 0)
    with pytest.raises(RunError, match="holds bytes that are no text in UTF-8; choose outputs=<folder>"), run.claimed():
        pass
    assert not list(tmp_path.iterdir())


def test_a_run_whose_name_is_endless_is_skipped_in_a_short_line(tmp_path):
    run = Run.of(str(tmp_path), SCIENCE, 0)
    run.path.mkdir(parents=True)
    run.write_config({**SCIENCE, "seed": 0, "schema": SCHEMA_VERSION, "study": "a" * 100_000})
    records, (line,) = find_runs([str(tmp_path)], unfinished=True)
    assert (records, len(line) < 500) == ([], True)
    assert "not a name: study='aaaa" in line


def test_a_folder_with_a_line_break_in_its_name_is_skipped_in_one_line(tmp_path):
    for name in ("whole\nin two", "other"):
        (tmp_path / name / "seed=0").mkdir(parents=True)
        (tmp_path / name / "seed=0" / "config.yaml").write_text("[]")
    _, skipped = find_runs([str(tmp_path)])
    assert [line.rpartition("/config.yaml: ")[2] for line in skipped] == ["damaged (not a mapping)"] * 2
    assert skipped[1].startswith(f"{tmp_path}/whole\\nin two/seed=0")


def test_a_second_process_is_refused_with_the_owners_name(tmp_path):
    run = Run.of(str(tmp_path), SCIENCE, 0)
    program = (
        "import sys; from pathlib import Path; from bdry.runs import Run\n"
        "try:\n    with Run(Path(sys.argv[1])).claimed(): print('claimed')\n"
        "except Exception as error: print(error)\n"
    )

    def second() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(run.path)], capture_output=True, text=True, timeout=60
        )
        return done.stdout

    with run.claimed():
        assert "another process works on this run (it has just started)" in second()
        run.set_status("running", step=5)
        owner = run.status()
        assert f"process {owner['pid']}" in second()
        assert owner["host"] in second()
    assert second().strip() == "claimed"


@pytest.mark.parametrize("outputs", ["/dev/null/outputs", "/proc/outputs"])
def test_a_folder_that_cannot_be_written_is_one_line(outputs):
    with (
        pytest.raises(RunError, match=r"cannot be written .*; choose outputs=<folder>"),
        Run.of(outputs, SCIENCE, 0).claimed(),
    ):
        pass


def test_status_keeps_what_it_knew(tmp_path):
    run = Run.of(str(tmp_path), SCIENCE, 0)
    assert run.status() == {}
    with run.claimed():
        run.set_status("running", total_steps=9)
        run.set_status("finished", step=9)
    status = run.status()
    assert (status["state"], status["total_steps"], status["step"]) == ("finished", 9, 9)
    assert run.finished
    (run.path / "status.json").write_text("{")
    with pytest.raises(RunError, match=r"status.json: damaged"):
        run.status()


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "f.txt"
    write_text(path, "first")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def parts(seed=0, widths=(8,)):
    model = build_classifier(
        "mlp", (1, 4, 4), 3, mean=[0.5], std=[0.2], seed=seed, options={"widths": list(widths), "activation": "relu"}
    )
    return model, torch.optim.Adam(model.parameters(), 0.01)


def trained(seed=0):
    model, optimiser = parts(seed)
    model(torch.ones(2, 1, 4, 4)).square().sum().backward()
    optimiser.step()
    return model, optimiser


def test_what_is_no_file_is_never_replaced_by_one(tmp_path):
    """A pipe as /dev/stdout leads to, or a device: as root, --output /dev/null would have been the last of it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for name in ("pipe", "link", "folder"):
        with pytest.raises(OSError, match="something of this name that is no file") as caught:
            write_text(tmp_path / name, "x")
        assert caught.value.filename == str(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_checkpoints_bring_everything_back(tmp_path):
    model, optimiser = trained()
    save_training(tmp_path / "c", model, optimiser, "run/seed=0", {"step": 7, "objective_sum": 0.1})
    other, other_optimiser = parts(seed=1)
    state = load_training(tmp_path / "c", other, other_optimiser, "run/seed=0", {"step": 0, "objective_sum": 0.0})
    assert state == {"step": 7, "objective_sum": 0.1}
    for each in (model, other):
        each.zero_grad()
        each(torch.ones(2, 1, 4, 4)).sum().backward()
    optimiser.step()
    other_optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))

    save_classifier(tmp_path / "m", model, "run/seed=0", 7)
    third, _ = parts(seed=2)
    assert load_classifier(tmp_path / "m", third, "run/seed=0") == 7
    assert torch.equal(third.head.weight, model.head.weight)


def test_foreign_and_damaged_checkpoints_are_one_line(tmp_path):
    model, optimiser = trained()
    path = tmp_path / "c"

    def refused(match, run="run", model=model, optimiser=optimiser):
        with pytest.raises(RunError, match=match) as caught:
            load_training(path, model, optimiser, run, {"step": 0})
        assert str(path) in str(caught.value)

    refused("missing")
    save_training(path, model, optimiser, "run", {"step": 7})
    refused("a checkpoint of the run run, not of other; if its folder was renamed, give it", run="other")
    refused("do not fit this architecture", model=parts(widths=(9,))[0])
    refused("optimiser's state does not fit", optimiser=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    for state in ({"step": "7"}, {"step": 7, "more": 1}, {"step": True}):
        save_training(path, model, optimiser, "run", state)
        refused("its state is")
    save_training(path, model, optimiser, "run", {"step": 7})
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    refused("damaged or not a checkpoint")
    path.write_bytes(b"\x80\x04\x95 a pickle")
    refused("damaged or not a checkpoint")
    torch.save({"a": torch.ones(2)}, path)
    refused("damaged or not a checkpoint")
    save_classifier(path, model, "run", 7)
    refused("damaged or not a checkpoint")


def test_runs_are_found_by_folder_and_glob_and_bad_ones_named(tmp_path):
    for seed in (0, 1):
        run = Run.of(str(tmp_path), SCIENCE, seed)
        with run.claimed():
            run.write_config({**SCIENCE, "schema": SCHEMA_VERSION, "seed": seed})
            run.set_status("finished")
    other = Run.of(str(tmp_path), {**SCIENCE, "x": 1}, 0)
    with other.claimed():
        other.write_config({**SCIENCE, "schema": SCHEMA_VERSION + 1, "seed": 0})
        other.set_status("finished")
    cut = Run.of(str(tmp_path), {**SCIENCE, "x": 2}, 0)
    with cut.claimed():
        cut.write_config({**SCIENCE, "schema": SCHEMA_VERSION, "seed": 2})
        cut.set_status("interrupted", step=3, total_steps=10)
    broken = tmp_path / "runs" / "broken" / "seed=0"
    broken.mkdir(parents=True)
    (broken / "config.yaml").write_text("{: [")
    foreign = tmp_path / "runs" / "foreign"
    foreign.mkdir()
    (foreign / "config.yaml").write_text("learning: 1")
    records, skipped = find_runs([str(tmp_path)])
    assert [record.identity["seed"] for record in records] == [0, 1]
    reasons = {str(other.path): "another version", str(cut.path): "interrupted at step 3 of 10"}
    reasons |= {str(broken): "damaged", str(foreign): "not the config of a run"}
    assert len(skipped) == len(reasons)
    for path, reason in reasons.items():
        assert any(path in line and reason in line for line in skipped), reason
    records, _ = find_runs([str(tmp_path)], unfinished=True)
    assert sorted(record.identity["seed"] for record in records) == [0, 1, 2]
    records, _ = find_runs([str(tmp_path / "runs" / "digits-*" / "seed=1")])
    assert [record.identity["seed"] for record in records] == [1]
    with pytest.raises(UsageError, match="no run below it"):
        find_runs([str(foreign.parent / "broken" / "seed=0" / "config.yaml")])


def test_a_copy_of_a_run_does_not_count_twice(tmp_path):
    run = Run.of(str(tmp_path / "outputs"), SCIENCE, 0)
    with run.claimed():
        run.write_config({**SCIENCE, "schema": SCHEMA_VERSION, "seed": 0})
        run.set_status("finished")
    # a copy, and one under another seed's name whose measurement makes it the fuller one
    shutil.copytree(tmp_path / "outputs", tmp_path / "backup")
    fuller = run.path.with_name("seed=1")
    shutil.copytree(run.path, fuller)
    measured = fuller / "measurements" / "svm-1"
    measured.mkdir(parents=True)
    shutil.copy(run.path / "config.yaml", measured)
    shutil.copy(run.path / "status.json", measured)
    (record,), skipped = find_runs([str(tmp_path)])
    assert record.run.path == fuller
    assert len(skipped) == 2
    assert all(line.endswith(f"seed 0 of {run.experiment} is taken from {fuller}") for line in skipped)
    assert len(find_runs([str(tmp_path)], copies=True)[0]) == 3


def test_provenance_adds_an_entry_a_start(tmp_path):
    run = Run.of(str(tmp_path), SCIENCE, 0)
    with run.claimed():
        run.add_provenance({"n": 1})
        run.add_provenance({"n": 2})
    assert json.loads((run.path / "provenance.json").read_text()) == [{"n": 1}, {"n": 2}]


def test_looking_at_the_checkout_takes_no_lock_that_a_kill_would_leave(tmp_path, monkeypatch):
    commands = []

    def run(command, **settings):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="abc\n")

    monkeypatch.setattr(provenance.subprocess, "run", run)
    assert provenance._git(tmp_path, "status") == "abc"
    assert "--no-optional-locks" in commands[0]
