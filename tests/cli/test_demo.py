"""`bdry demo` line by line: the commands that it gives, and how it ends where one of them fails."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bdry.cli import main
from bdry.cli.dispatch import _escaped
from bdry.commands import demo
from bdry.conf import compose, typed
from bdry.errors import UsageError
from bdry.settings import DemoConfig

PLAIN = [Path(f"outputs/demo/runs/digits-mlp-{adv}-1/seed=0") for adv in ("none", "pgd")]
OTHER_SEED = Path("outputs/demo/runs/digits-mlp-none-1/seed=4")
RUNS = [Path("an odd, folder/it's/seed=0"), PLAIN[0]]


@pytest.fixture
def given(monkeypatch):
    """The command lines that the demo gives; what the n-th of them ends with is the n-th of `codes`."""
    lines, codes = [], []

    def run_bdry(words):
        lines.append(list(words))
        return codes[len(lines) - 1] if len(codes) >= len(lines) else 0

    monkeypatch.setattr(demo, "run_bdry", run_bdry)
    runs = [*PLAIN]

    def find_runs(places):
        seeds = [(path, 0) for path in runs] + [(OTHER_SEED, 4)]
        return [SimpleNamespace(run=SimpleNamespace(path=path), identity={"seed": seed}) for path, seed in seeds], []

    monkeypatch.setattr(demo, "find_runs", find_runs)
    return SimpleNamespace(lines=lines, codes=codes, runs=runs)


@pytest.mark.parametrize("runs", [PLAIN, RUNS])
def test_its_commands_compose_and_are_printed_as_they_could_be_typed(given, capsys, runs):
    given.runs[:] = runs
    demo.run(DemoConfig(seeds=[0, 4], epochs=3, overrides=["arch.widths=[8]"], keep_points=7, outputs="here"))
    assert [line[0] for line in given.lines] == ["train", "margin", "figures", "report"]
    out = capsys.readouterr().out
    for command, *words in given.lines:
        assert f"bdry {shlex.join([command, *words])}\n" in out
        sweep = "launch=joblib" in words
        parsed = OverridesParser.create().parse_overrides([_escaped(word, sweep) for word in words])
        swept = {one.key_or_group: list(one.sweep_string_iterator()) for one in parsed if one.is_sweep_override()}
        first = [one.input_line for one in parsed if not one.is_sweep_override()]
        first += [f"{key}={values[0]}" for key, values in swept.items()]
        config = typed(compose(command, first))
        if command == "train":
            assert swept == {"adv": ["none", "pgd"], "seed": ["0", "4"]}
            assert (config.training.epochs, config.arch.widths, config.outputs) == (3, [8], "here")
            assert (config.evaluation.steps, config.evaluation.restarts) == (20, 1)
            margin = config.probe["margin"]
            assert (margin.num_train, margin.num_test) == (100, 100)
        if command == "margin":
            # the other seed's networks are not among them
            assert len(swept["run"]) == len(runs)
            assert config.run == str(runs[0])
            assert (config.keep_points, config.num_train, config.num_test) == (7, 7, 7)
            # the sweep's own files lie beside the runs too
            assert config.outputs == "here"
        if command == "figures":
            assert (config.style.format, config.figure) == (["png"], "margin_evolution")
    assert "here/report.html" in out


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_it_ends_with_the_command_that_fails_and_as_that_does(given, at):
    given.codes.extend([0] * (at - 1))
    given.codes.append(2)
    with pytest.raises(UsageError, match="see the line above"):
        demo.run(DemoConfig())
    assert len(given.lines) == at
    given.lines.clear()
    given.codes[-1] = 75
    with pytest.raises(demo.StepError, match="the same command goes on") as raised:
        demo.run(DemoConfig())
    assert raised.value.exit_code == 75
    given.lines.clear()
    given.codes[-1] = 130
    with pytest.raises(KeyboardInterrupt):
        demo.run(DemoConfig())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epochs=0", "epochs=0: must be at least 1"),
        ("epoch=3", "epochs"),
        ("seeds=[]", "must not be empty"),
        ("seeds=[1,1]", "seeds"),
        ("keep_points=0", "keep_points=0: must be at least 1"),
        ("epochs=many", "epochs"),
    ],
)
def test_a_wrong_setting_is_a_line_before_anything_runs(word, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "run_bdry", lambda words: pytest.fail("a command was given"))
    try:
        code = main(["demo", word])
    except SystemExit as left:
        code = left.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
