"""Every YAML composes under every command that can use it, and fits the builder that it names."""

from __future__ import annotations

import functools
import inspect
import itertools
import re

import pytest
import yaml

from bdry.claims.karimi2020 import FEWER_PAIRS, MAIN
from bdry.claims.mickisch2020_ours import BRACKET
from bdry.conf import COMMANDS, compose, conf_dir, groups, load_grid, option_defaults, typed
from bdry.data import DATASETS
from bdry.errors import ConfigError
from bdry.margins import ESTIMATORS
from bdry.models import ARCHITECTURES
from bdry.session.build import options
from bdry.settings import SCHEMAS, RunTask, check, children, science
from bdry.training import OPTIMISERS

OPTIONS = [
    (command, group, option)
    for command in COMMANDS
    for group, names in groups(command).items()
    for option in names
    if group not in ("launch", "paper", "scale")
]
PRESETS = [option for option in groups("train")["paper"] if "/" in option]
PAPERS = sorted({preset.partition("/")[0] for preset in PRESETS})
SCALES = ["smoke", "cpu", "full", "paper"]


# what an option has no default for
NEEDS = {"module": ["arch.build=my_module:build"], "folder": ["dataset.root=x"], "arrays": ["dataset.file=x.npz"]}


def words(command, group):
    """What `bdry <command>` needs beside a choice in `group`."""
    if not issubclass(COMMANDS[command][0], RunTask):
        return []
    return ["classifier=my_module:build"] if group == "dataset" else ["run=outputs/runs/x"]


@pytest.mark.parametrize(("command", "group", "option"), OPTIONS)
def test_every_option_composes(command, group, option):
    value = f"[{option}]" if group == "probe" else option
    typed(compose(command, [f"{group}={value}", *words(command, group), *NEEDS.get(option, [])]))


@pytest.mark.parametrize("name", groups("margin")["margin"])
def test_an_estimators_defaults_are_its_yaml(name):
    assert option_defaults("margin", "margin", name) == typed(compose("margin", [f"margin={name}", "run=x"])).margin


@pytest.mark.parametrize(
    ("dataset", "adv", "arch"),
    list(itertools.product(groups("train")["dataset"], groups("train")["adv"], groups("train")["arch"])),
)
def test_every_combination_composes(dataset, adv, arch):
    needs = [*NEEDS.get(dataset, []), *NEEDS.get(arch, [])]
    config = typed(compose("train", [f"dataset={dataset}", f"adv={adv}", f"arch={arch}", *needs]))
    assert (config.dataset.name, config.adv.name, config.arch.name) == (dataset, adv, arch)
    if adv == "pgd":
        assert config.adv.eps == config.dataset.pgd.linf.eps


@pytest.mark.parametrize("launch", groups("train")["launch"])
def test_launch_presets_compose(launch):
    typed(compose("train", [f"launch={launch}"]))


@functools.cache
def of_preset(preset, scale):
    return typed(compose("train", [f"paper={preset}", f"scale={scale}"]))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_compose_and_differ_by_scale(preset, scale):
    config = of_preset(preset, scale)
    assert (config.paper, config.scale) == (preset, scale)
    # at both of these karimi2020 trains as its authors did
    alike = {"full": "paper", "paper": "full"}.get(scale) if preset.startswith("karimi2020") else None
    compared = [other for other in SCALES if other not in (scale, alike)]
    assert all(science(config) != science(of_preset(preset, other)) for other in compared)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("paper", PAPERS)
def test_a_studys_grid_is_made_of_commands_that_compose(paper, scale):
    config = typed(compose("reproduce", [f"paper={paper}", f"scale={scale}", "launcher=joblib"]))
    assert (config.paper, config.scale, config.launcher) == (paper, scale, "joblib")
    assert typed(compose("figures", [f"paper={paper}"])).paper == paper
    grid = load_grid(paper, scale)
    assert grid.train
    for training in grid.train:
        # the first job of the sweep stands for all
        first = [re.sub(r"^([^=\[]+=[^,\[]+),.*", r"\1", word) for word in training.overrides]
        typed(compose("train", [*first, f"study='{training.study}'"]))
    for measuring in grid.measure:
        typed(compose(measuring.command, ["run=x", *measuring.overrides]))
        assert measuring.study in {training.study for training in grid.train}


# a study of another name would be trained, measured and passed over by every verdict; li2018 and fawzi2017 read all
READ = {"mickisch2020": {"main", "transfer", BRACKET}, "karimi2020": {MAIN, FEWER_PAIRS}}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("paper", READ)
def test_the_studies_of_a_grid_are_those_that_verdicts_read(paper, scale):
    studies = {training.study for training in load_grid(paper, scale).train}
    assert {study for study in studies if not study.startswith("control: ")} <= READ[paper]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("preset", [name for name in PRESETS if name.startswith("mickisch2020/")])
def test_margins_over_training_are_deepfools_over_all_classes_with_walk_beside_it(preset, scale):
    config = of_preset(preset, scale)
    assert (config.margin.name, config.margin.candidates) == ("deepfool", None)
    assert config.probe["margin"].beside == ["walk"]


@pytest.mark.parametrize("words", [["paper=mickisch2020/mnist"], ["scale=cpu"], ["paper=mickisch2020", "scale=cpu"]])
def test_half_a_preset_is_refused(words):
    with pytest.raises(ConfigError, match=r"goes with|needs a part"):
        typed(compose("train", words))


def test_an_activation_of_the_last_hidden_layer_needs_that_layer():
    with pytest.raises(ConfigError, match="needs feature_dim"):
        typed(compose("train", ["arch.feature_activation=none"]))
    assert typed(compose("train", ["arch.feature_dim=2", "arch.feature_activation=none"])).arch.feature_dim == 2


def test_no_yaml_is_left_out():
    used = {conf_dir() / group / f"{option}.yaml" for _, group, option in OPTIONS}
    used |= {conf_dir() / "launch" / f"{option}.yaml" for option in groups("train")["launch"]}
    used |= {conf_dir() / f"{command}.yaml" for command in COMMANDS} | {conf_dir() / "hydra" / "bdry.yaml"}
    used |= {conf_dir() / "paper" / f"{name}.yaml" for name in (*PRESETS, *PAPERS, "none")}
    used |= {conf_dir() / "scale" / f"{name}.yaml" for name in (*SCALES, "none")}
    used |= {conf_dir() / "grid" / paper / f"{scale}.yaml" for paper in PAPERS for scale in SCALES}
    for name in (*PRESETS, *PAPERS):
        used |= {path for scale in SCALES if (path := conf_dir() / "scaled" / name / f"{scale}.yaml").exists()}
    assert {path for path in conf_dir().rglob("*.yaml") if path.parent.name != "local"} == used


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_names_things_and_calls_none(path):
    assert "_target_" not in (yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    assert path.read_text(encoding="utf-8").startswith("# ")


REGISTRIES = {"dataset": DATASETS, "arch": ARCHITECTURES, "optim": OPTIMISERS, "margin": ESTIMATORS}


@pytest.mark.parametrize("group", REGISTRIES)
def test_settings_are_the_builders_own_arguments(group):
    registry = REGISTRIES[group]
    # a network of the user's own has no builder of ours
    files = [conf_dir() / group / f"{option}.yaml" for option in groups("train")[group] if option != "module"]
    # an option may be a builder with other settings: deepfool_all
    assert set(registry) == {yaml.safe_load(file.read_text(encoding="utf-8"))["name"] for file in files}
    for name in registry:
        node = getattr(typed(compose("train", [f"{group}={name}", *NEEDS.get(name, [])])), group)
        taken = inspect.signature(registry[name]).parameters
        assert set(options(node)) <= set(taken), f"{group}={name}"
        # the library's defaults are the command line's
        if group == "margin":
            same = {key: taken[key].default for key in options(node)}
            assert {key: list(value) if isinstance(value, tuple) else value for key, value in same.items()} == options(
                node
            ), name


@pytest.mark.parametrize(("group", "name", "cls"), SCHEMAS, ids=[f"{g}-{n}" for g, n, _ in SCHEMAS])
def test_every_key_has_a_line_of_help(group, name, cls):
    for declared in cls.__dataclass_fields__.values():
        assert declared.metadata.get("help") or "Budgets" in str(declared.type), f"{cls.__name__}.{declared.name}"


def test_identity_holds_what_changes_results_and_nothing_else():
    plain = typed(compose("train"))
    same = ["seed=7", "device=cpu", "threads=1", "logger=tensorboard", "outputs=elsewhere"]
    assert science(typed(compose("train", same))) == science(plain)
    # a key that came later leaves the identity of runs without it as it was
    assert not {"feature_dim", "feature_activation"} & science(plain)["arch"].keys()
    assert "preprocessing" not in science(plain)
    for other in (
        "arch.feature_dim=2",
        "optim.lr=0.01",
        "training.init_seed=1",
        "probe.margin.num_test=10",
        "precision=bf16",
        "preprocessing={mean: [0.5], std: [0.5]}",
    ):
        assert science(typed(compose("train", [other]))) != science(plain), other


def test_a_measurements_identity_is_how_it_measures():
    plain = science(typed(compose("margin", ["run=a"])))
    same = ["run=b", "checkpoint=all", "device=cpu", "threads=1", "outputs=elsewhere"]
    assert science(typed(compose("margin", same))) == plain
    for other in ("margin.steps=3", "num_test=10", "clipped=[true]", "check=[walk]", "classes=[1]", "batch_size=7"):
        assert science(typed(compose("margin", ["run=a", other]))) != plain, other


def test_the_l2_budget_is_the_data_sets():
    adv = typed(compose("train", ["dataset=cifar10", "adv=pgd", "adv.norm=l2"])).adv
    assert (adv.eps, adv.step_size, adv.steps) == (0.5, 0.1, 10)


def test_checks_reach_into_lists_and_nodes():
    config = typed(compose("train"))
    config.moments.epochs = [1, 0]
    with pytest.raises(Exception, match=r"moments.epochs=\[1,0\]: must be at least 1"):
        check(config)
    assert {key for key, _, _ in children(config)} >= {"probe.margin", "training", "seed"}
