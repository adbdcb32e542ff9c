"""A setting is declared once, its names come from one registry, and bad values are refused by the declaration."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from typing import get_type_hints

import pytest

import bdry
from bdry import names, settings, studies
from bdry.conf import COMMANDS, compose, groups, typed
from bdry.deepdig import Recipe
from bdry.errors import ConfigError
from bdry.registry import Registry
from bdry.studies.deepdig.settings import DeepDigSettings
from bdry.studies.probes import PROBES

SETTINGS = [
    *(importlib.import_module(f"bdry.settings.{found.name}") for found in pkgutil.iter_modules(settings.__path__)),
    *studies.import_all("settings"),
]
CLASSES = [
    cls
    for module in SETTINGS
    for cls in vars(module).values()
    if dataclasses.is_dataclass(cls) and isinstance(cls, type) and cls.__module__ == module.__name__
]
REGISTERED = {name: value for name, value in vars(names).items() if isinstance(value, Registry)}


def own_fields(cls):
    """The fields that the class itself declares, with what is declared of them."""
    return {name: cls.__dataclass_fields__[name] for name in vars(cls).get("__annotations__", {})}


@pytest.mark.parametrize("name", sorted(PROBES))
def test_a_probe_holds_its_settings_and_declares_none(name):
    assert set(groups("train")["probe"]) == set(PROBES)
    builder = PROBES[name]
    declared = get_type_hints(builder)["settings"]
    node = typed(compose("train", [f"probe=[{name}]"])).probe[name]
    assert isinstance(node, declared)
    assert not {field.name for field in dataclasses.fields(builder)} & {
        field.name for field in dataclasses.fields(declared)
    }
    # what probe= adds is when it measures; the study's settings know nothing of it
    assert {field.name for field in dataclasses.fields(node)} == {
        "name",
        "moments",
        *(field.name for field in dataclasses.fields(declared)),
    }


def test_no_setting_of_a_study_is_declared_again_with_its_help():
    seen = {}
    for cls in CLASSES:
        for name, declared in own_fields(cls).items():
            key = (name, declared.metadata.get("help"))
            assert declared.metadata.get("help") == "not used" or key not in seen or not related(cls, seen[key]), (
                f"{cls.__name__}.{name} stands in {seen[key].__name__} too"
            )
            seen[key] = cls


def related(a, b):
    return a.__module__ == b.__module__ and "studies" in a.__module__


def test_no_command_takes_a_key_of_the_probe_alone():
    for command, (node, _) in COMMANDS.items():
        if command != "train":
            assert "moments" not in node.__dataclass_fields__, command


def test_no_list_of_names_stands_beside_a_registry():
    known = [set(registry) for registry in REGISTERED.values()] + [set(groups("train")["margin"])]
    for cls in CLASSES:
        for name, declared in own_fields(cls).items():
            choices = declared.metadata.get("choices", ())
            if isinstance(choices, tuple) and len(set(choices)) > 1:
                assert not any(set(choices) <= registered for registered in known), f"{cls.__name__}.{name}"


@pytest.mark.parametrize("kind", sorted(REGISTERED))
def test_every_name_that_is_declared_has_its_function(kind):
    importlib.import_module("bdry.deepdig.generators")
    importlib.import_module("bdry.studies.probes")
    assert all(callable(REGISTERED[kind][name]) for name in REGISTERED[kind])


@pytest.mark.parametrize("command", ["curvature", "deepdig"])
def test_every_estimator_may_be_named(command):
    for name in groups("margin")["margin"]:
        assert typed(compose(command, ["run=x", f"estimator={name}"])).estimator == name
    with pytest.raises(ConfigError, match=r"estimator=wlak: not one of .*walk"):
        typed(compose(command, ["run=x", "estimator=wlak"]))


def test_the_names_of_plug_ins_are_taken():
    registry = Registry("family", "near")
    registry.declare("mine")
    assert list(registry) == ["near", "mine"]
    with pytest.raises(ValueError, match="not among the names declared"):
        registry.register("another")(print)
    with pytest.raises(ValueError, match="declared twice"):
        registry.declare("mine")


def test_deepdigs_recipe_has_the_settings_defaults():
    declared = DeepDigSettings()
    for field in dataclasses.fields(Recipe):
        if field.name == "options":
            continue
        value = getattr(declared, field.name)
        assert (tuple(value) if isinstance(value, list) else value) == field.default, field.name


def lists_of(node, prefix=""):
    """(key, value, declaration) of every list below a config."""
    for key, value, declared in settings.children(node):
        if dataclasses.is_dataclass(value):
            yield from lists_of(value, f"{prefix}{key}.")
        elif isinstance(value, list) and key != "pairs":
            yield f"{prefix}{key}", value, declared.metadata


EVERY_PROBE = f"probe=[{','.join(groups('train')['probe'])}]"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("reproduce", "figures")])
def test_every_list_refuses_what_is_empty_and_what_is_doubled(command):
    config = typed(
        compose(
            command, {"train": [EVERY_PROBE], "demo": [], "report": [], "publish": ["to=x"]}.get(command, ["run=x"])
        )
    )
    for key, value, metadata in list(lists_of(config)):
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node[part] if isinstance(node, dict) else getattr(node, part)
        wrong = [] if metadata["may_be_empty"] else [([], "must not be empty")]
        if value and not metadata["may_repeat"]:
            wrong.append(([*value, value[0]], r"(names something twice|needs \d+ values)"))
        for values, message in wrong:
            setattr(node, last, values)
            with pytest.raises(ConfigError, match=re.escape(key) + f"=.*{message}"):
                settings.check(config)
        setattr(node, last, value)
    settings.check(config)


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("train", "seed=99999999999999999999", "must be at most 9223372036854775807"),
        ("train", "threads=100000", "must be at most 1024"),
        ("train", "training.epochs=1000000000000", "must be at most 1000000"),
        ("train", "arch.widths=[10000000000]", "must be at most 65536"),
        ("train", "optim.betas=[0.9]", "needs 2 values"),
        ("train", "optim.betas=[0.9,0.99,0.999]", "needs 2 values"),
        ("regions run=x", "scenarios=[]", "must not be empty"),
        ("regions run=x", "scenarios=[natural,natural]", "names something twice"),
        ("regions run=x", "ks=[2,2]", "names something twice"),
        ("train", "probe.margin.norms=[]", "must not be empty"),
        ("train", "probe.margin.clipped=[]", "must not be empty"),
        ("deepdig run=x", "alphas=[0.8]", "needs 2 values"),
        ("train", "outputs=''", "must not be empty"),
        ("figures", "runs=['']", "must not be empty"),
        ("train dataset=arrays", "dataset.file=' '", "must not be empty"),
    ],
)
def test_absurd_values_are_refused_in_a_line(command, word, message):
    name, *words = command.split()
    with pytest.raises(ConfigError) as caught:
        typed(compose(name, [*words, word]))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_may_repeat_or_be_empty_does():
    assert typed(compose("train", ["arch.widths=[64,64]"])).arch.widths == [64, 64]
    assert typed(compose("regions", ["run=x", "ks=[]"])).ks == []
    assert typed(compose("deepdig", ["run=x"])).alphas == [0.8, 0.8]


def test_no_help_cites_a_document_that_is_not_here():
    for cls in CLASSES:
        for name, declared in own_fields(cls).items():
            assert "specification" not in declared.metadata.get("help", ""), f"{cls.__name__}.{name}"
    assert bdry.__version__
