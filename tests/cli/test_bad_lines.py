"""Four hundred bad command lines over all commands: exit code 2, at most three lines, no traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import traceback

import pytest

from bdry.cli import main
from bdry.commands import MEASURING
from bdry.conf import COMMANDS

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes made by fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

NUM_LINES = 400
BATCH = 20
# values that no setting of a number, a name or a place takes, and words that are no settings
NUMBERS = (
    "-1",
    "1e999",
    "nan",
    "abc",
    "1.5",
    "[1,2]",
    "''",
    "{a:1}",
    "-99999999999999999999",
    "ü",
    "'1",
    "1,2",
    "${x}",
)
WORDS = (
    "=",
    "=1",
    "x",
    "a.b.c=1",
    "dataset=",
    "dataset=nosuch",
    "arch=[mlp",
    "~",
    "~x",
    "+",
    "++a",
    "ünïcode=1",
    "a==b",
)
# what a session of odd lines made by hand has found
BY_HAND = (
    ["train", f"seed={'9' * 5000}"],
    ["train", "outputs=\0"],
    ["runs", "\0"],
    ["runs", "a" * 5000],
    ["runs", "nowhere", "--watch", "--csv"],
    ["runs", "nowhere", "--sort", "--"],
    ["export", "nowhere", "--output=--"],
    ["margin", "+preprocessing.mean.a=1"],
    ["figures", "runs=[[]]"],
    ["report", "runs=[{a:1}]"],
    ["publish", "runs=[null]", "to=nowhere"],
    ["train", "+hydra.x=1"],
    ["train", "--shell-completion"],
    ["train", "dataset=blobs", "-m", "seed=0,x"],
    ["train", "-m", "seed=range(0,99999999999)"],
    ["train", "-m", "seed=range(3,0)"],
    ["train", "-m", "seed=choice()"],
    ["train", "-m", "seed=glob(*)"],
    ["train", "-m", "optim.lr=interval(0,1)"],
    ["train", "dataset=blobs", "arch.widths=[1,[2]]"],
    ["train", "dataset=blobs", "arch.widths=[[1,2],[3]]"],
    ["train", "dataset=blobs", "arch.widths=[null]"],
    ["train", "probe=[null]"],
    ["train", "probe="],
    ["train", "hydra.verbose=[1]"],
    ["train", "hydra/job_logging=[none]"],
    ["train", "dataset@x=digits"],
    ["train", "@x=1"],
    ["train", "--cfg", "job", "--package", "nosuch"],
    ["train", "--package", "training"],
    ["train", "--experimental-rerun=nosuch.pickle"],
    ["reproduce", "paper=mickisch2020", "scale=[smoke]"],
)
FLAGS = ("--cfg", "--cfg=nothing", "--no-such-flag", "--resolve", "--multirun=1", "--config-name")
KEYS = {
    "train": ("training.epochs", "training.batch_size", "seed", "optim.lr", "arch.widths", "probe.margin.num_test"),
    "margin": ("num_test", "towards", "keep_points", "batch_size", "norms", "classes", "clipped", "splits", "check"),
    "reproduce": ("paper", "scale", "launcher"),
    "figures": ("paper",),
    "publish": ("max_mb", "to", "paper"),
    "demo": ("epochs", "keep_points"),
    "report": ("images", "papers", "unfinished"),
}
KEYS |= {command: ("threads", "device", "checkpoint") for command in MEASURING if command != "margin"}
PLAIN = ("show", "compare", "rerun", "export", "runs nowhere")
PLAIN_WORDS = ("", "nowhere", "--no-such", "nowhere nowhere nowhere nowhere", "adv=pgd=1/x", "ü/ö", "a\tb")


def lines():
    """The command lines, the same ones every time."""
    draw = random.Random(0)
    found = list(BY_HAND)
    for number in range(NUM_LINES):
        if number % 10 == 9:
            words = [*draw.choice(PLAIN).split(), *draw.choice(PLAIN_WORDS).split(" ")]
            found.append([word for word in words if word] if words[-1] else [words[0], "nowhere", "--sort", "nothing"])
            continue
        command = draw.choice([*COMMANDS])
        kind = number % 3
        if kind == 0:
            found.append([command, f"{draw.choice(KEYS[command])}={draw.choice(NUMBERS)}", "outputs=nowhere"])
        elif kind == 1:
            found.append([command, draw.choice(WORDS), *([draw.choice(WORDS)] if draw.random() < 0.3 else [])])
        else:
            other = draw.choice([name for name in KEYS if name != command])
            found.append([command, draw.choice([f"no{draw.choice(KEYS[other])}=1", *FLAGS])])
    return found


def answers(batch, writing):
    """What a forked process does: the command lines one after the other, a line of JSON for each answer."""
    for words in batch:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(list(words))
            except SystemExit as left:
                code = left.code
            except BaseException:
                code = "traceback"
                traceback.print_exc()
        os.write(writing, json.dumps([code, err.getvalue()[-3000:]]).encode() + b"\n")


def outcomes(found):
    """(words, exit code, standard error) of each. A fork for so many: none can take more than its batch along."""
    for first in range(0, len(found), BATCH):
        batch = found[first : first + BATCH]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answers(batch, writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        # what is missing died: the first of these has killed the process
        missing = [[f"killed by {status}", ""]] * (len(batch) - len(said))
        yield from ((words, *answer) for words, answer in zip(batch, [*map(json.loads, said), *missing], strict=True))


def test_bad_lines_end_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for words, code, err in outcomes(lines()):
        shown = err.strip().splitlines()
        if code != 2 or not 1 <= len(shown) <= 3 or "Traceback" in err:
            wrong.append(f"{words}: {code}: {' / '.join(shown[-3:])}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.rglob("status.json"))
