"""What is said of work that goes on: estimates that hold, the line for long work, how far a sweep is."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from bdry.conf import compose, typed
from bdry.core.seeds import seeded_globally
from bdry.data import Dataset, Split
from bdry.models import Classifier, Normalise
from bdry.runs import Outcome, Sweep
from bdry.session import long_runs, progress
from bdry.session.progress import Counting, Estimate, time_left


def told(rate_at, total=1000, seconds=600):
    """The words of an estimate at each second of work whose rate in pieces a second `rate_at` gives."""
    estimate, done, words = Estimate(), 0.0, []
    for now in range(seconds):
        done = min(done + rate_at(now), total)
        estimate.see(int(done), total, float(now))
        words.append((now, estimate.words(now), total - done))
    return words


def test_even_work_is_told_after_two_looks_and_rightly():
    words = told(lambda now: 2.0, seconds=400)
    assert all(text == "" for now, text, _ in words if now < 20)
    said = {now: text for now, text, _ in words if text}
    assert min(said) <= 35
    assert said[100] == time_left((1000 - 2 * 101) / 2) == "about 7 min left"


def test_a_slow_start_is_not_told_as_the_rate_of_all():
    """The first 60 s are a tenth as fast: users had read 423 minutes, then 118."""
    words = told(lambda now: 0.2 if now < 60 else 2.0, seconds=540)
    for now, text, left in words:
        if text and 60 < now < 500:
            shown = float(text.split()[1]) * (60 if "min" in text else 1)
            assert shown < 3 * max(left / 2.0, 60), (now, text)


def test_time_left_in_the_unit_that_fits():
    assert [time_left(s) for s in (0.2, 80, 150, 3 * 3600)] == [
        "about 1 s left",
        "about 80 s left",
        "about 2 min left",
        "about 3 h left",
    ]


@pytest.mark.parametrize(("pieces", "days"), [(10**7, True), (1000, False)])
def test_work_of_more_than_a_day_says_so_once_and_what_is_quicker(pieces, days, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    counting = Counting("digits-mlp/seed=0", pieces, "step")
    counting.quicker = "dataset.num_train=5000"
    with counting:
        for _ in range(150):
            now[0] += 1.0
            counting.count(1, "loss 1.0")
    lines = [line for line in capsys.readouterr().out.splitlines() if "this will take about" in line]
    assert len(lines) == days
    if days:
        assert lines[0] == (
            "digits-mlp/seed=0: this will take about 116 days on this machine; quicker: dataset.num_train=5000"
        )


def test_without_a_terminal_a_line_says_what_begins_and_later_ones_come_a_minute_apart(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Counting("deepdig-1", 2, "pair") as counting:
        for words in ("step 15", "step 30"):
            counting.say(words)
        for now[0] in (30.0, 61.0):
            counting.count(1, "step 30")
    assert capsys.readouterr().out.splitlines() == [
        "deepdig-1: pair 0 of 2, step 15",
        "deepdig-1: pair 2 of 2, step 30",
    ]


def test_what_goes_through_the_network_is_told_once_a_minute_with_the_time_left(monkeypatch, capsys):
    """Of a copy of it as well, as measurements in float64 have one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    network = nn.Identity()
    with Counting("regions-1", 1, "checkpoint") as counting, counting.looks_through(network):
        counting.say("natural")
        for now[0] in range(10, 70, 10):
            copy.deepcopy(network)(torch.zeros(50, 2))
            counting.share(now[0] / 120)
            network(torch.zeros(50, 2))
    network(torch.zeros(50, 2))
    assert capsys.readouterr().out.splitlines() == [
        "regions-1: checkpoint 0 of 1, natural",
        "regions-1: checkpoint 0 of 1, natural, 550 points looked at, about 60 s left",
    ]


def test_a_measurement_of_more_than_a_day_says_what_is_quicker_within_its_first_piece(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Counting("deepdig-1", 1, "checkpoint") as counting:
        counting.quicker = "pairs=[[0,1]]"
        for now[0] in range(10, 150, 10):
            counting.share(now[0] / (10 * 86400))
    lines = [line for line in capsys.readouterr().out.splitlines() if "this will take" in line]
    assert lines == ["deepdig-1: this will take about 10 days on this machine; quicker: pairs=[[0,1]]"]


def test_a_compiled_network_has_no_hook_for_which_it_would_be_compiled_again():
    network = nn.Identity()
    network.compile()
    with Counting("margin-1", 1, "checkpoint") as counting, counting.looks_through(network):
        assert not network._forward_hooks


@pytest.fixture
def photographs() -> Dataset:
    """100 black images as CIFAR-10 has them, for training and for testing."""
    zeros = torch.zeros(100, dtype=torch.long)
    split = Split(torch.zeros(100, 3, 32, 32, dtype=torch.uint8), zeros, torch.arange(100))
    return Dataset("cifar10", split, split, tuple("0123456789"))


def test_adversarial_training_of_days_is_known_before_its_first_step(photographs, monkeypatch, capsys):
    settings = typed(compose("train", ["dataset=cifar10", "adv=pgd", "training.epochs=20"]))
    # 10 steps of PGD and one of training, each there and back; after each epoch an attack of 2 x 40 steps on 250 images
    number = 20 * 50_000 * 3 * 11 + 21 * (20_000 + 3 * 250 * 80)
    assert long_runs.passes(settings, 50_000, 20_000) == number
    body = torch.nn.Flatten()
    with seeded_globally(0):
        classifier = Classifier(Normalise([0.0] * 3, [1.0] * 3), body, torch.nn.Linear(3 * 32 * 32, 10))
    looks = iter([7.0, 0.5])
    monkeypatch.setattr(long_runs, "_look", lambda network, few: next(looks) * len(few))
    monkeypatch.setattr(long_runs, "passes", lambda settings, num_train, evaluated: number)
    seconds = long_runs.seconds_at_least(settings, classifier, photographs, 200)
    assert seconds == pytest.approx(0.5 * number)
    counting = Counting("cifar10-resnet18/seed=0", 100, "step")
    counting.quicker = "; ".join(long_runs.quicker(settings, photographs))
    for _ in range(2):
        counting.expect(seconds)
    assert capsys.readouterr().out.splitlines() == [
        f"cifar10-resnet18/seed=0: this will take about {0.5 * number / 86400:.0f} days on this machine; quicker: "
        "a GPU (device=cuda); arch=airbench, as recipe=cifar10_fast has it; adv.steps=3; training.epochs=5"
    ]


def test_little_work_costs_no_look(photographs, monkeypatch):
    settings = typed(compose("train", ["training.epochs=2"]))
    monkeypatch.setattr(long_runs, "_look", None)
    assert long_runs.seconds_at_least(settings, None, photographs, 200) == 0


def test_how_far_a_sweep_is(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path)
    assert sweep.how_far() is None
    sweep.begin(["seed=0", "seed=1", "seed=2", "seed=3"])
    found = sweep.how_far()
    assert (found.total, found.ended, found.seconds_left) == (4, 0, None)
    assert sweep.label(2) == "seed=2"
    # a job that was skipped tells nothing of how long others take
    sweep.end(0, Outcome("skipped"))
    assert sweep.how_far().seconds_left is None
    sweep.end(1, Outcome("finished"))
    began = json.loads((tmp_path / "jobs.json").read_text())["time"]
    monkeypatch.setattr("bdry.runs.sweep.time.time", lambda: began + 100)
    assert sweep.how_far().seconds_left == pytest.approx(200)
    states = [outcome.state for outcome in sweep.outcomes(4, interrupted=True)]
    assert states == ["skipped", "finished", "stopped", "stopped"]
    (tmp_path / "jobs.json").write_text("{")
    assert sweep.how_far() is None
    assert sweep.label(0) == ""
