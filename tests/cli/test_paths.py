"""Folders of any name in outputs=, run=, dataset.file= and the like, and labels: typed as they are, no inner quotes."""

from __future__ import annotations

import string

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from bdry.cli.dispatch import _escaped
from bdry.conf import HYDRA_VERSION_BASE, compose, typed
from bdry.errors import ConfigError
from bdry.settings.options import conf_dir


@pytest.fixture(scope="module")
def composing():
    """Inside, `hydra.compose` knows bdry's commands."""
    compose("figures", ["paper=li2018"])
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), **HYDRA_VERSION_BASE):
        yield


@pytest.mark.parametrize("letter", [*string.punctuation, *"ü ×é\t"])
def test_a_letter_anywhere_in_a_path(letter, composing):
    for path in (f"a{letter}b", f"{letter}a", f"a{letter}", f"a{letter}/b{letter}{letter}"):
        word = _escaped(f"outputs={path}", False)
        assert hydra.compose("figures", overrides=["paper=li2018", word]).outputs == path


@pytest.mark.parametrize(
    "path",
    ["12", "1e3", "true", "NaN", "inf", "-1", "0x10", "1_000", "choice(a)", "[a]", "a,b,c", "it's", "a\\'b", "\\'"],
)
def test_a_path_that_looks_like_something_else(path, composing):
    word = _escaped(f"outputs={path}", False)
    assert hydra.compose("figures", overrides=["paper=li2018", word]).outputs == path


@pytest.mark.parametrize("value", ["größe (2), it's #1", "a={b}", "[x", "100 %"])
@pytest.mark.parametrize("key", ["study", "dataset.file", "dataset.labels_file", "dataset.test_file"])
def test_files_of_ones_own_and_labels(key, value, composing):
    words = ["dataset=arrays", "dataset.file=x", _escaped(f"{key}={value}", False)]
    config = hydra.compose("train", overrides=words)
    group, _, last = key.rpartition(".")
    assert (config[group] if group else config)[last] == value


def test_of_another_key_the_line_says_how_to_quote(bdry, tmp_path):
    answer = bdry("margin", "run=x", "code=v(1", cwd=tmp_path)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.endswith(""": "code='v(1'\"""")


@pytest.mark.parametrize("key", ["study", "dataset.root", "outputs"])
def test_bytes_that_are_no_text_are_refused(key):
    words = ["dataset=folder", "dataset.root=x", _escaped(f"{key}=a\udcff", False)]
    with pytest.raises(ConfigError, match="holds bytes that are no text in UTF-8; rename it"):
        typed(compose("train", words))


def test_several_values_where_several_are_meant():
    assert _escaped("runs=[a,b]", False) == "runs=[a,b]"
    assert _escaped("outputs=a,b", True) == "outputs=a,b"
    assert _escaped("outputs=choice(a,b)", True) == "outputs=choice(a,b)"
