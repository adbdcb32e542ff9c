"""`import bdry` as docs/library.md shows it: its code runs, names come on demand, runs come as a table."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import bdry as library
from bdry.commands import train
from bdry.conf import compose, typed
from bdry.errors import ConfigError
from bdry.runs import find_runs
from bdry.runs.differences import flattened
from bdry.selection.overview import COLUMNS

# one small training for all, which a busy machine may take long for
pytestmark = pytest.mark.timeout(900)

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
SMALL = ["dataset.num_train=60", "dataset.num_test=40", "training.epochs=1", "probe.margin.num_train=10"]
SMALL += ["probe.margin.num_test=10", "evaluation.robust_images=10", "threads=1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small run in `outputs`."""
    folder = tmp_path_factory.mktemp("library")
    train.run(typed(compose("train", [*SMALL, f"outputs={folder / 'outputs'}"])))
    return folder


@pytest.fixture
def two(place, tmp_path) -> Path:
    """A folder with this run, and the same as if it had been trained by PGD."""
    (run,) = place.glob("outputs/runs/*/seed=0")
    for name, adv in (("none", {"name": "none"}), ("pgd", {"name": "pgd", "norm": "linf", "eps": 0.1})):
        folder = tmp_path / f"digits-mlp-{name}-01234567" / "seed=0"
        shutil.copytree(run, folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "adv": adv}))
    return tmp_path


@pytest.mark.slow
def test_the_code_on_the_page_runs(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) > 7
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for number, block in enumerate(blocks):
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    out = capsys.readouterr().out
    assert "100 of 100 found" in out
    assert "torch.Size([4, 3]) curvatures" in out
    assert "solved" in out
    assert bool(names["curvatures"].isfinite().all())
    assert len(names["margins"]) == 40
    assert {path.suffix for path in names["files"]} == {".png", ".svg", ".csv", ".md"}


def test_runs_are_a_table_of_what_the_command_lists_and_of_every_config_key(two):
    runs = library.load_runs(two)
    assert runs["adv"].tolist() == ["none", "pgd"]
    assert tuple(runs)[: len(COLUMNS)] == COLUMNS
    run = runs.iloc[1]
    history = pd.read_csv(Path(run["path"], "tables", "history.csv"))
    assert run["test_accuracy"] == pytest.approx(history["test_accuracy"].iloc[-1])
    (record,), _ = find_runs([run["path"]])
    for key, value in flattened(record.config).items():
        assert key in COLUMNS or run[key] == value or value is None, key
    # a key that one of the runs does not have
    assert runs["adv.eps"].isna().tolist() == [True, False]
    # numbers are numbers: means need no conversion
    assert runs["optim.lr"].dtype == float


def test_a_run_that_is_not_finished_is_left_out_with_a_warning(two):
    status = two / "digits-mlp-pgd-01234567" / "seed=0" / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "interrupted"}))
    with pytest.warns(UserWarning, match="not finished"):
        assert library.load_runs(two)["adv"].tolist() == ["none"]
    assert library.load_runs(two, unfinished=True)["state"].tolist() == ["finished", "interrupted"]


def test_a_network_comes_with_its_data(place):
    path = library.load_runs(place / "outputs")["path"][0]
    network, dataset = library.load_network(path)
    assert not network.training
    history = pd.read_csv(Path(path, "tables", "history.csv"))
    right = network(dataset.test.pixels()).argmax(1) == dataset.test.labels
    assert float(right.float().mean()) == pytest.approx(history["test_accuracy"].iloc[-1])
    first, _ = library.load_network(path, step=0)
    assert not torch.equal(first.head.weight, network.head.weight)
    with pytest.raises(ConfigError, match="checkpoint=7: no such step"):
        library.load_network(path, step=7)


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("bdry", {"torch", "numpy", "pandas", "hydra", "omegaconf"}),
        ("bdry.commands.runs", {"torch"}),
        ("bdry.commands.doctor", {"torch"}),
        ("bdry.commands.train", set()),
        ("bdry.commands.measure", set()),
    ],
)
def test_importing_imports_nothing_that_is_slow_before_it_is_used(module, slow):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "bdry" in names
    assert not (slow | {"matplotlib", "scipy", "sklearn"}) & set(names)


@pytest.mark.parametrize("module", [library, library.figures, library.geometry], ids=lambda module: module.__name__)
def test_names_on_demand_are_there_and_others_are_named(module):
    for name in getattr(module, "__all__", ("boundary", "detection", "regions", "subspaces")):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'marginn'"):
        _ = module.marginn


def test_an_estimator_measures_a_module_in_evaluation_mode_and_leaves_it_as_it_was():
    torch_state = torch.random.get_rng_state()
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Linear(16, 3))
    torch.random.set_rng_state(torch_state)
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = library.margins.walk(net.eval(), x).margin
    net.train()
    assert torch.equal(library.margins.walk(net, x).margin, wanted)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert int(net[2].num_batches_tracked) == 0
