"""One small run, trained once, of which every test of strangers' folders takes copies."""

from __future__ import annotations

import contextlib
import io
import shutil

import pytest

# an optimiser imports this when it is first made: once here, instead of in every process that the tests fork
import torch._dynamo  # noqa: F401

from bdry.cli import main

SMALL = [
    "dataset.num_train=20",
    "dataset.num_test=20",
    "training.epochs=1",
    "arch.widths=[4]",
    "probe.margin.num_train=2",
    "probe.margin.num_test=2",
    "evaluation.robust_images=0",
    "moments.steps=[0]",
    "threads=1",
    "device=cpu",
]


@pytest.fixture(scope="session")
def bdry_here():
    """`bdry_here(*words)`: exit code, standard output and standard error of one command line, in this process."""
    return command


@pytest.fixture(scope="session")
def small():
    """The settings that `trained` was made with."""
    return SMALL


def command(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:
            code = left.code
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a finished run, `.../<experiment>/seed=0`."""
    outputs = tmp_path_factory.mktemp("trained")
    code, _, err = command("train", *SMALL, f"outputs={outputs}")
    assert code == 0, err
    (run,) = (outputs / "runs").glob("*/seed=0")
    return run


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of it where `bdry train outputs=<tmp_path>/stranger` would put it."""
    place = tmp_path / "stranger" / "runs" / trained.parent.name
    shutil.copytree(trained.parent, place)
    return place / trained.name


@pytest.fixture
def outside(tmp_path):
    """A folder that belongs to somebody else, with a check that nothing in it has changed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine.csv").write_text("mine\n")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["mine.csv"]
    assert (folder / "mine.csv").read_text() == "mine\n"
