"""A run's folder from a stranger: nothing in it is executed, nothing is written outside, each refusal is a line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from bdry.errors import DataError, RunError
from bdry.session.made_by import settings_given
from bdry.session.open_run import open_run

from .hostile import MARK, _nothing_is_executed  # noqa: F401


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


def measured(run, config, status='{"state": "finished"}'):
    """A measurement of the run, with a copy of its tables."""
    folder = run / "measurements" / "margin-00000000"
    shutil.copytree(run / "tables", folder / "tables")
    (folder / "config.yaml").write_text(config)
    (folder / "status.json").write_text(status)


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
    "seed-is-negative": (lambda run: change(run, seed=-1), "not the config of a run"),
    "seed-is-huge": (lambda run: change(run, seed=2**64), "not the config of a run"),
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
    "damaged-measurement": (lambda run: measured(run, config="command: margin\n", status="{"), None),
    "nested-measurement": (lambda run: measured(run, config="norms: [[[l2]]]\nmargin: {a: 1}\n"), None),
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


def too_deep(place):
    """A folder in a folder, and so on, until no path is long enough."""
    folder = os.open(place, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


@pytest.fixture(scope="module")
def strangers(trained, tmp_path_factory, bdry_here):
    """A tree with a run for each of `DAMAGES` and one that is whole, and what the commands on all of it have said."""
    place = tmp_path_factory.mktemp("strangers")
    for name, (damage, _) in {"whole": (lambda run: None, None), **DAMAGES}.items():
        shutil.copytree(trained, place / "runs" / name / "seed=0")
        damage(place / "runs" / name / "seed=0")
    too_deep(place)
    out = tmp_path_factory.mktemp("out")
    archive, drawn = out / "all.zip", f"outputs={out}"
    lines = {
        "runs": ["runs", place, "--csv"],
        "runs for people": ["runs", place],
        "export": ["export", place, "--output", archive],
        "figures": ["figures", f"runs={place}", "figure=margin_evolution", "style.format=[png]", drawn],
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
        # the measurements of a readable run may not count; on a busy machine it is said how far the command is
        progress = r"([\w ,]+, )?(table|claim|figure|run) \d+ of \d+: \S+"
        lines = [line for line in err.splitlines() if not re.fullmatch(progress, line)]
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


@pytest.mark.parametrize("name", ["nul-in-table", "huge-field", "table-is-a-folder"])
def test_the_list_says_why_a_run_has_no_accuracy(name, strangers):
    place, _, said = strangers
    path = str(place / "runs" / name / "seed=0" / "tables" / "history.csv")
    assert len([line for line in said["runs"][2].splitlines() if line.startswith(f"skipped: {path}")]) == 1


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


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("arch=module", "runs code that the run names"),
        ("arch=[module]", "runs code that the run names"),
        ("++arch.build=evil:build", "runs code that the run names"),
        ("logger=wandb", "sends the run's numbers away"),
    ],
)
def test_a_rerun_neither_runs_named_code_nor_sends_anything(word, reason, copied, bdry_here):
    (copied / "provenance.json").write_text(json.dumps([{"overrides": ["dataset=blobs", word]}]))
    code, out, err = bdry_here("rerun", copied, "--execute")
    assert (code, out) == (2, f"bdry train dataset=blobs {shlex.quote(word)}\n")
    assert err.splitlines()[-1] == f"bdry: {word}: {reason}; type the command yourself if you mean that"


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
