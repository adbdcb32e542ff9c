"""The tables of docs/gpu.md are those of the files in docs/gpu, which a GPU gave."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).parents[2] / "docs"
# in the order of the page's columns
COLUMNS = [(split, estimator) for split in ("train", "test") for estimator in ("deepfool", "walk")]
HEADINGS = "training images, DeepFool | `walk` | test images, DeepFool | `walk` |"


def printed(first: str) -> dict[tuple[str, ...], list[str]]:
    """The page's table with these first headings: the cells of each row by those that name it."""
    lines = (DOCS / "gpu.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line == f"| {first} | {HEADINGS}")
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[tuple(cells[: -len(COLUMNS)])] = cells[-len(COLUMNS) :]
    return rows


def means(rows: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], list[str]]:
    table = rows.pivot_table("mean", keys, ["split", "estimator"])[COLUMNS]
    names = table.index.to_frame().astype(str).itertuples(index=False)
    return {tuple(name): [f"{value:.3f}" for value in row] for name, row in zip(names, table.to_numpy(), strict=True)}


@pytest.mark.parametrize(
    ("stage", "subset", "keys"), [("c", "correct", ["epoch"]), ("d", "all", ["training", "epoch"])]
)
def test_means_over_training_are_those_of_the_tables(stage, subset, keys):
    rows = pd.read_csv(DOCS / "gpu" / f"{stage}-margin_summary.csv").replace("pgd linf", "linf PGD")
    found = means(rows[(rows["norm"] == "l2") & (rows["subset"] == subset)], keys)
    shown = printed(" | ".join(keys))
    assert shown
    for name, cells in shown.items():
        assert found[match(name, found)] == cells, name


def match(name: tuple[str, ...], found: dict[tuple[str, ...], list[str]]) -> tuple[str, ...]:
    """The row of the file whose epoch, as the page rounds it, is that of `name`."""
    *about, epoch = name
    digits = len(epoch.partition(".")[2])
    return next(one for one in found if list(one[:-1]) == about and f"{float(one[-1]):.{digits}f}" == epoch)


def test_seconds_are_those_of_the_benchmark():
    seconds, net = {}, ""
    for line in (DOCS / "gpu" / "b-margins.txt").read_text().splitlines():
        if line.startswith("### "):
            net = line
        elif line.startswith("| "):
            seconds[net, line.split("|")[1].strip()] = line.split("|")[2].strip()
    nets = ["### cnn (", ", l2"], ["### cnn (", ", linf"], ["### robust (", ", l2"]
    lines = (DOCS / "gpu.md").read_text().splitlines()
    start = lines.index("| row | CNN, l2 | CNN, linf | PGD-trained CNN, l2 |")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : start + 10]]
    assert [row[0] for row in rows][::7] == ["DeepFool", "adversarial-library's FMN, 100 steps"]
    for name, *cells in rows:
        for (begins, ends), cell in zip(nets, cells, strict=True):
            called = name.replace("adversarial-library's", "adv-lib")
            found = [
                value for (net, row), value in seconds.items() if row == called and begins in net and net.endswith(ends)
            ]
            assert [cell] == found or not cell, (name, ends)
