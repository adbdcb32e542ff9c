"""scripts/gpu_kit.sh, tried without a GPU: what its stages run, pieces there and back, stage c over two machines."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bdry.conf import compose, typed

ROOT = Path(__file__).parents[2]
KIT = ROOT / "scripts" / "gpu_kit.sh"


def kit(machine: Path, *words: object, code: int = 0, **environment: str) -> str:
    """What a call prints on a machine whose folder is `machine`."""
    # a busy machine is no reason to stop
    env = {**os.environ, "KIT": str(machine), "PYTHON": sys.executable, "SECONDS_C": "100000", **environment}
    done = subprocess.run([KIT, *map(str, words)], env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands(printed: str) -> list[list[str]]:
    return [shlex.split(line) for line in printed.splitlines()]


@pytest.mark.parametrize("more", [[], ["--tiny", "device=cpu"]])
def test_what_the_stages_run_is_there_and_composes(more, tmp_path):
    for stage, longest in (("a", 60), ("b", 180), ("d", 420), ("c", 480)):
        lines = commands(kit(tmp_path, stage, tmp_path / "out", "--dry", *more, SECONDS_C="480"))
        assert lines
        for line in lines:
            limits = [int(word) for word in line[:4] if word.isdecimal()]
            assert max(limits, default=0) <= longest
            files = [word for word in line if word.startswith(("tests/", "benchmarks/"))]
            assert all((ROOT / name).exists() for name in files)
            if "bdry" not in line:
                assert files
    trainings = [typed(compose("train", line[line.index("train") + 1 :])) for line in lines]
    assert [config.adv.name for config in trainings] == ["none", "pgd"]
    for config in trainings:
        assert (config.arch.name, config.precision) == ("resnet18", "bf16")
        assert (config.margin.name, config.margin.candidates) == ("deepfool", None)
        assert config.probe["margin"].beside == ["walk"]
        assert (config.dataset.name, config.training.epochs) == (("digits", 1) if more else ("cifar10", 30))


def test_stage_d_has_the_full_scales_networks_as_their_recipe_trains_them(tmp_path):
    lines = commands(kit(tmp_path, "d", tmp_path / "out", "--dry"))
    trainings = [typed(compose("train", line[line.index("train") + 1 :])) for line in lines]
    assert [(config.adv.name, config.seed) for config in trainings] == [
        *(("none", seed) for seed in range(6)),
        *(("pgd", seed) for seed in range(3)),
    ]
    for config in trainings:
        recipe = typed(compose("train", ["recipe=cifar10_fast"])).training
        assert (config.training.epochs, config.training.batch_size) == (recipe.epochs, recipe.batch_size)
        assert (config.arch.name, bool(config.arch.whiten)) == ("airbench", config.adv.name == "none")


def test_pieces_make_the_whole_or_say_that_one_is_missing(tmp_path):
    (tmp_path / "in" / "some").mkdir(parents=True)
    (tmp_path / "in" / "some" / "file").write_bytes(os.urandom(50_000))
    kit(tmp_path, "pack", tmp_path / "out", "data.tar.xz", tmp_path / "in", "some", PIECE="20000")
    pieces = sorted((tmp_path / "out").iterdir())
    assert [path.stat().st_size for path in pieces[:-1]] == [20_000, 20_000]
    machine = tmp_path / "machine"
    kit(machine, "bring", *pieces[:-1])
    assert "data.tar.xz is not whole: a piece of it is missing" in kit(machine, "unpack", code=2)
    kit(machine, "bring", pieces[-1])
    kit(machine, "unpack")
    assert (machine / "data" / "some" / "file").read_bytes() == (tmp_path / "in" / "some" / "file").read_bytes()


def test_what_another_machine_needs_is_the_last_state_of_what_is_not_finished(tmp_path):
    for name, state in (("none", "finished"), ("pgd", "interrupted")):
        run = tmp_path / "one" / "outputs" / "runs" / name / "seed=0"
        for folder in ("checkpoints", "tables"):
            (run / folder).mkdir(parents=True)
        (run / "status.json").write_text(f'{{"state": "{state}", "step": 3}}')
        (run / "tables" / "history.csv").write_text("step\n")
        for checkpoint in ("last", "step=00000003"):
            (run / "checkpoints" / f"{checkpoint}.safetensors").write_text(checkpoint)
    assert "lot 1 of 1" in kit(tmp_path / "one", "leave", tmp_path / "out", 1)
    assert "there are 1 lots" in kit(tmp_path / "one", "leave", tmp_path / "out", 2, code=2)
    kit(tmp_path / "two", "bring", *(tmp_path / "out").iterdir())
    kit(tmp_path / "two", "unpack")
    there = tmp_path / "two" / "outputs" / "runs"
    found = {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    kept = ["none/seed=0/status.json", "none/seed=0/tables/history.csv", "pgd/seed=0/status.json"]
    assert found >= {*map(Path, kept), Path("pgd/seed=0/checkpoints/last.safetensors")}
    assert not any("step=" in path.name or path.match("none/*/checkpoints/*") for path in found)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_second_machine_takes_the_first_ones_runs_and_goes_on(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    small = ["--tiny", "device=cpu", "threads=1"]
    kit(one, "c", tmp_path / "first", *small, ARCH="mlp", TRAININGS="none")
    kit(one, "leave", tmp_path / "left", 1)
    kit(two, "bring", *(tmp_path / "left").iterdir())
    printed = kit(two, "c", tmp_path / "second", *small, ARCH="mlp")
    assert printed.count("is finished already") == 1
    left = {path.name for path in (tmp_path / "second").iterdir()}
    for adv in ("none", "pgd"):
        for table in ("history", "margin_summary"):
            assert [name for name in left if re.fullmatch(f"c-digits-mlp-{adv}-.*-{table}.csv", name)]
    with tarfile.open(tmp_path / "second" / "c-runs.tar.gz") as archive:
        names = archive.getnames()
    assert sum(name.endswith("/tables/margins.csv") for name in names) == 2
    assert not any("checkpoints" in name for name in names)


def test_a_word_that_it_does_not_know_is_named(tmp_path):
    assert "--tinny: neither --dry, --tiny, device= nor a setting" in kit(tmp_path, "c", tmp_path, "--tinny", code=2)
    assert "gpu_kit.sh bring PIECE" in kit(tmp_path, "stage", code=2)


def test_the_wheels_are_those_that_bdry_needs_without_torch():
    pytest.importorskip("tomllib")
    specification = importlib.util.spec_from_file_location("collect_wheels", ROOT / "scripts" / "collect_wheels.py")
    collect = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(collect)
    wanted = collect.needed("3.12", extras=("tensorboard",))
    assert wanted.keys() >= {"hydra-core", "omegaconf", "antlr4-python3-runtime", "pandas", "clarabel", "pytest"}
    assert not any(name.startswith(("torch", "nvidia", "triton")) for name in wanted)
    few = collect.needed("3.12", ["numpy", "Pandas"], extras=("tensorboard",))
    assert wanted.keys() - few.keys() >= {"numpy", "pandas"}
