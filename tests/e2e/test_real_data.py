"""The commands of the README on real images; skipped where the data is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data


def bdry(*words: str, cwd: Path, root: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bdry", *words],
        cwd=cwd,
        env={**os.environ, "BDRY_DATA": root},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def table(folder: Path, name: str) -> pd.DataFrame:
    (path,) = folder.rglob(f"tables/{name}.csv")
    return pd.read_csv(path)


@pytest.mark.slow
def test_lenet_learns_the_whole_of_fashion_mnist_in_five_epochs(tmp_path, data_root):
    schedule = ["optim.schedule=onecycle", "optim.lr=0.005"]
    words = ["dataset=fashion_mnist", "training.epochs=5", *schedule, "probe=[]", "evaluation.robust_images=0"]
    bdry("train", *words, cwd=tmp_path, root=data_root)
    assert table(tmp_path, "history")["test_accuracy"].iloc[-1] >= 0.88


@pytest.mark.parametrize("adv", ["none", "pgd"])
def test_fashion_mnist_margins_over_training(tmp_path, data_root, adv):
    size = ["dataset.num_train=2000", "dataset.num_test=300", "training.epochs=2", "probe.margin.num_train=50"]
    bdry(
        "train", "dataset=fashion_mnist", f"adv={adv}", *size, "probe.margin.num_test=50", cwd=tmp_path, root=data_root
    )
    summary = table(tmp_path, "margin_summary")
    assert (summary["success_rate"] > 0.98).all()
    every = summary[(summary["subset"] == "all") & (summary["split"] == "test")]
    l2, linf = (every[every["norm"] == norm].sort_values("step")["mean"].to_numpy() for norm in ("l2", "linf"))
    assert (linf < l2).all()
    assert (l2 < 28 * linf).all()
    # at initialisation margins are small: mickisch2020.md 7.1, lesson (a)
    assert l2[-1] > 2 * l2[0]


def test_cifar10_with_pgd_ends_with_everything_in_place(tmp_path, data_root):
    size = ["dataset.num_train=64", "dataset.num_test=32", "training.epochs=1", "training.batch_size=32"]
    small = ["probe.margin.num_train=10", "probe.margin.num_test=10", "evaluation.robust_images=10"]
    bdry("train", "dataset=cifar10", "adv=pgd", "arch=plaincnn", *size, *small, cwd=tmp_path, root=data_root)
    assert table(tmp_path, "margins")["success"].mean() > 0.9
    assert list(tmp_path.rglob("margin_evolution-cifar10-plaincnn.pdf"))
