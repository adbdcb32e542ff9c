"""The documents say what is so: commands that compose, files and functions that are there, every option listed."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import shlex
import typing
from pathlib import Path

import pytest

from bdry.cli.dispatch import _escaped, _renamed
from bdry.cli.help import EXAMPLES
from bdry.cli.plain import PLAIN
from bdry.commands import MEASURING
from bdry.conf import COMMANDS, SCHEMAS, compose, groups, typed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "papers").glob("*.md"))
# what a page has its reader make, or install
READERS_OWN = ("stripes", "twolayer", "onehidden", "--config-dir")
# Hydra's flags, and what stands for something else
NO_SETTING = re.compile(r"-.*|job|.*\.\.\..*|.*….*|[\w.]+=")
# columns, attributes and Hydra's keys, which look like settings
NO_SETTINGS = {"success", "margins", "requires_grad", "hydra.run.dir", "hydra.verbose"}


def command_lines() -> list[tuple[str, str]]:
    """(page, command line): every indented line and piece of code with a command of bdry's, and the help's examples."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"^ {4,}(bdry [^#\n]+)", text, re.M) + re.findall(r"`(bdry\s[^`]+)`", text)
        found += [(page.name, " ".join(line.split())) for line in lines]
    found += [("--help", example) for examples in EXAMPLES.values() for example in examples]
    return sorted({line: (page, line) for page, line in found}.values())


def jobs(words: list[str]) -> list[tuple[str, ...]]:
    """As many jobs as the longest sweep among the words has, each word at its next value."""
    values = []
    for word in words:
        key, _, value = word.partition("=")
        within = [value[:at].count("[") - value[:at].count("]") for at in range(len(value))]
        commas = [at for at, letter in enumerate(value) if letter == "," and not within[at]]
        ends = zip([-1, *commas], [*commas, len(value)], strict=True)
        values.append([f"{key}={value[low + 1 : high]}" for low, high in ends])
    count = max(map(len, values), default=1)
    return [tuple(swept[job % len(swept)] for swept in values) for job in range(count)]


@functools.cache
def compose_typed(command: str, words: tuple[str, ...]) -> None:
    typed(compose(command, words))


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_command_line_in_the_documents_composes(page, line):
    command, *words = shlex.split(line)[1:]
    if (
        command in ("completion", "complete")
        or command.startswith(("-", "<"))
        or any(own in line for own in READERS_OWN)
    ):
        return
    assert command in (*COMMANDS, *PLAIN), f"{page}: {line}"
    if command in PLAIN:
        return
    words = [_renamed(command, word).replace("<n>", "1") for word in words if not NO_SETTING.fullmatch(word)]
    stands_for = {"run": "run=x", "runs": "runs=x", "paper": "paper=mickisch2020"}
    words = [stands_for[word.partition("=")[0]] if "<" in word else word for word in words]
    words = [word.partition("=")[0] + "=x" if word.startswith(("run=", "runs=")) else word for word in words]
    # Hydra's own launcher is none of the command's settings
    words = [word for word in words if not word.startswith("launch=")]
    if command in MEASURING and not any(word.startswith(("run=", "classifier=")) for word in words):
        words.append("run=x")
    for job in jobs(words):
        compose_typed(command, tuple(_escaped(word, False) for word in job))


def test_command_lines_are_found():
    lines = [line for _, line in command_lines()]
    assert len(lines) > 60
    assert "bdry train dataset=cifar10 adv=pgd" in lines


def settings_of(kind: type) -> set[str]:
    """The names of a dataclass's fields, and of those of the dataclasses in it."""
    found = set()
    for name, hint in typing.get_type_hints(kind).items():
        found |= {name} | (settings_of(hint) if dataclasses.is_dataclass(hint) else set())
    return found


@functools.cache
def all_settings() -> set[str]:
    kinds = [kind for _, _, kind in SCHEMAS] + [kind for kind, _ in COMMANDS.values()]
    names = {group for command in COMMANDS for group in groups(command)}
    return names.union(*map(settings_of, kinds))


def unknown_settings(text: str) -> list[str]:
    """Pieces of code `<key>=<value>` whose key ends in the name of no setting."""
    keys = re.findall(r"`([a-z_][\w.]*)=[^`]*`", text)
    return [key for key in keys if key.rpartition(".")[2] not in all_settings() and key not in NO_SETTINGS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_the_documents_name_are_there(page):
    assert not unknown_settings(page.read_text(encoding="utf-8"))


def test_settings_that_are_not_there_are_found():
    assert unknown_settings("`retries=5` or `training.epoch=3`, not `num_retries=5` or `training.epochs=3`") == [
        "retries",
        "training.epoch",
    ]


@pytest.mark.parametrize("page", ["design.md", "extending.md"])
def test_files_that_the_documents_name_are_there(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    names = re.findall(r"`([\w./]+/[\w./]*|\w+\.py)`", text)
    assert len(names) > 15
    for name in names:
        if any(own in name for own in (*READERS_OWN, "outputs/", "my_conf/", "tables/", "conf/local/default.yaml")):
            continue
        places = (ROOT / name, ROOT / "src" / name, ROOT / "src" / "bdry" / name)
        assert any(place.exists() for place in places) or list((ROOT / "src").rglob(name)), f"{page} names {name}"


def test_functions_that_the_design_names_are_in_their_files():
    text = " ".join((ROOT / "docs" / "design.md").read_text(encoding="utf-8").split())
    named = re.findall(r"`([\w.]+)(?:\(\))?`,? (?:in |\()`([\w/]+\.py)`", text)
    assert len(named) > 20
    for name, file in named:
        tree = ast.parse((ROOT / "src" / "bdry" / file).read_text(encoding="utf-8"))
        kinds = (ast.ClassDef, ast.FunctionDef)
        there = {node.name for node in tree.body if isinstance(node, kinds)}
        there |= {
            f"{node.name}.{part.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            for part in node.body
            if isinstance(part, kinds)
        }
        assert name in there, f"docs/design.md: {file} has no {name}"


@pytest.mark.parametrize("group", ["dataset", "arch", "adv", "optim", "margin", "probe"])
def test_the_readme_lists_every_option(group):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{group}=(?:\[\.\.\.\])?` \|.*$", text, re.M)
    assert set(groups("train")[group]) == set(re.findall(r"`(\w+)`", row))
