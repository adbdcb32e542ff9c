"""The commands of the README on real images; skipped where the data is not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data


@pytest.fixture
def train(bdry, tmp_path, data_root):
    """`train(*words)` is `bdry train` on the real data, in a folder that is left with its run."""

    def run(*words: str) -> Path:
        done = bdry("train", *words, cwd=tmp_path, env={"BDRY_DATA": data_root}, timeout=600)
        assert done.returncode == 0, done.stderr
        return tmp_path

    return run


def table(folder: Path, name: str) -> pd.DataFrame:
    (path,) = folder.rglob(f"tables/{name}.csv")
    return pd.read_csv(path)


@pytest.mark.long
def test_lenet_learns_the_whole_of_fashion_mnist_in_five_epochs(train):
    schedule = ["optim.schedule=onecycle", "optim.lr=0.005"]
    words = ["dataset=fashion_mnist", "training.epochs=5", *schedule, "probe=[]", "evaluation.robust_images=0"]
    assert table(train(*words), "history")["test_accuracy"].iloc[-1] >= 0.88


@pytest.mark.parametrize("adv", ["none", "pgd"])
def test_fashion_mnist_margins_over_training(train, adv):
    size = ["dataset.num_train=2000", "dataset.num_test=300", "training.epochs=2", "probe.margin.num_train=50"]
    folder = train("dataset=fashion_mnist", f"adv={adv}", *size, "probe.margin.num_test=50")
    summary = table(folder, "margin_summary")
    assert (summary["success_rate"] > 0.98).all()
    every = summary[(summary["subset"] == "all") & (summary["split"] == "test")]
    l2, linf = (every[every["norm"] == norm].sort_values("step")["mean"].to_numpy() for norm in ("l2", "linf"))
    assert (linf < l2).all()
    assert (l2 < 28 * linf).all()
    # at initialisation margins are small: docs/papers/mickisch2020.md, lesson (a)
    assert l2[-1] > 2 * l2[0]


def test_cifar10_with_pgd_ends_with_everything_in_place(train):
    size = ["dataset.num_train=64", "dataset.num_test=32", "training.epochs=1", "training.batch_size=32"]
    small = ["probe.margin.num_train=10", "probe.margin.num_test=10", "evaluation.robust_images=10"]
    folder = train("dataset=cifar10", "adv=pgd", "arch=plaincnn", *size, *small)
    assert table(folder, "margins")["success"].mean() > 0.9
    assert list(folder.rglob("margin_evolution-cifar10-plaincnn.png"))
