"""Made runs: folders with tables as `bdry train` leaves them, from formulas."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdry.figures import Style, styled
from bdry.runs import SCHEMA_VERSION, TABLES, Measurement, Run, find_runs
from bdry.studies.figures import FIGURES, draw_figures
from bdry.studies.margins.probe import summarise

ADVERSARIES = {
    "standard": {"name": "none"},
    "pgd linf": {"name": "pgd", "norm": "linf", "eps": 0.1, "step_size": 0.025, "steps": 10},
    "pgd l2": {"name": "pgd", "norm": "l2", "eps": 0.5, "step_size": 0.125, "steps": 10},
}


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Run]:
    """A function that leaves a finished run: its config from the keywords, its tables from data frames."""

    def write(
        folder, tables, *, training="standard", seed=0, dataset="digits", arch="mlp", study="", settings=None
    ) -> Run:
        science = {"dataset": {"name": dataset}, "arch": {"name": arch}, "adv": ADVERSARIES[training]}
        science |= settings or {}
        run = Run.of(str(folder), science, seed)
        with run.claimed():
            run.write_config({"schema": SCHEMA_VERSION, **science, "seed": seed, "study": study})
            for name, rows in tables.items():
                run.writer(name).append(rows)
            run.set_status("finished")
        return run

    return write


COARSE = Style(formats=("png",), dpi=50)


@pytest.fixture(params=[COARSE, pytest.param(Style(), marks=pytest.mark.long)], ids=["coarse", "as designed"])
def drawn_twice(request, tmp_path) -> Callable[..., list[Path]]:
    """A function that draws every figure of a paper twice, to the same bytes, and gives the files.

    A figure is its pictures, a CSV and a caption, but for `tables`, which have other endings.
    """

    def draw(paper: str, found: list, **tables: set[str]) -> list[Path]:
        digests = []
        for name in ("a", "b"):
            with styled(request.param):
                paths = draw_figures(paper, "all", found, tmp_path / name)
            digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths})
        assert digests[0] == digests[1]
        endings: dict[str, set[str]] = {}
        for path in paths:
            stem, _, ending = path.name.partition(".")
            endings.setdefault(stem.partition("-")[0], set()).add(ending)
        figure = {*request.param.formats, "csv", "caption.md"}
        assert endings == {name: tables.get(name, figure) for name in FIGURES[paper]}
        return paths

    return draw


@pytest.fixture(scope="session")
def records() -> Callable[..., list]:
    """A function that reads the runs below a folder."""
    return lambda folder: find_runs([str(folder)])[0]


def history(moments, train_accuracy, test_accuracy=0.7, robust_accuracy=0.25):
    """The table history: (step, epoch) of each moment and its accuracies, one number or one a moment."""
    steps, epochs = zip(*moments, strict=True)
    return pd.DataFrame(
        {
            "step": steps,
            "epoch": epochs,
            "lr": 0.1,
            "objective": 1.0,
            "train_loss": 1.0,
            "train_accuracy": train_accuracy,
            "test_loss": 1.0,
            "test_accuracy": test_accuracy,
            "robust_accuracy": robust_accuracy,
            "robust_norm": "linf",
            "robust_eps": 0.1,
        }
    )


def margins(moments, value, correct, confidence=0.5, split="test", norm="l2", clipped=False):
    """The table margins: `value` and `correct` are arrays with a row a moment and a column an image; nan: not found."""
    value, correct = np.asarray(value, float), np.asarray(correct, bool)
    num_moments, num_images = value.shape
    steps, epochs = (np.repeat(column, num_images) for column in zip(*moments, strict=True))
    flat, right = value.ravel(), np.broadcast_to(correct, value.shape).ravel()
    return pd.DataFrame(
        {
            "step": steps,
            "epoch": epochs,
            "split": split,
            "index": np.tile(np.arange(num_images), num_moments),
            "label": 0,
            "predicted": np.where(right, 0, 1),
            "correct": right,
            "confidence": np.broadcast_to(confidence, value.shape).ravel(),
            "logit_gap": 1.0,
            "norm": norm,
            "clipped": clipped,
            "estimator": "deepfool",
            "margin": flat,
            "lower_bound": np.nan,
            "margin_overshot": flat,
            "margin_relative": flat,
            "success": ~np.isnan(flat),
            "boundary_class": 1,
            "iterations": 2,
            "forwards": 1,
            "backwards": 1,
        }
    )


@pytest.fixture(scope="session")
def made() -> dict[str, Callable]:
    """Tables from numbers: `history(moments, train_accuracy, ...)`, `margins(moments, value, correct, ...)`, and
    `measured`, the tables of a run from those."""

    def measured(history_rows, *margin_rows):
        rows = pd.concat(margin_rows, ignore_index=True)
        return {"history": history_rows, "margins": rows, "margin_summary": summarise(rows)}

    return {"history": history, "margins": margins, "measured": measured}


@pytest.fixture(scope="session")
def study(write_run, made) -> Callable[..., None]:
    """A function that leaves a whole made-up study: every table of every training on two data sets."""

    def leave(folder, *, seeds=(0, 1, 2), datasets=("fashion_mnist", "mnist"), num_images=150) -> None:
        for dataset in datasets:
            for training in ADVERSARIES:
                for seed in seeds:
                    tables = whole(dataset, training, seed, num_images, made)
                    about = {"training": training, "seed": seed, "dataset": dataset, "arch": "lenet"}
                    run = write_run(folder, tables, **about, settings=SETTINGS)
                    if training != "pgd l2":
                        checked(run, seed)
            for number, control in enumerate(("he initialisation", "sgd", "weight decay", "lr drop", "mlp")):
                arch = "mlp" if control == "mlp" else "lenet"
                tables = whole(dataset, "standard", 50 + number, num_images, made, scale=0.7 + 0.15 * number)
                tables = {name: tables[name] for name in ("history", "margins", "margin_summary")}
                settings = SETTINGS | {"optim": {"name": "sgd", "lr": 0.01 * (number + 1)}}
                study = f"control: {'architecture' if control == 'mlp' else control}"
                write_run(folder, tables, dataset=dataset, arch=arch, study=study, settings=settings)

    return leave


SETTINGS = {
    "optim": {"name": "adam", "lr": 0.001, "schedule": "constant", "weight_decay": 0.0},
    "training": {"epochs": 50, "batch_size": 128},
    "margin": {"name": "deepfool"},
}
MOMENTS = [(0, 0.0), (5, 0.1), (15, 0.3), (50, 1.0), (100, 2.0), (150, 3.0), (250, 5.0), (400, 8.0), (600, 12.0)]
MOMENTS += [(1000, 20.0), (1500, 30.0), (2500, 50.0)]


def whole(dataset, training, seed, num_images, made, scale=1.0):
    """All tables of one run: margins rise, then fall in standard training, as in the specification's pilot."""
    draw = np.random.default_rng([seed, len(training), len(dataset)])
    epochs = np.array([epoch for _, epoch in MOMENTS])
    rising = 1 - np.exp(-epochs / 0.4)
    falling = {"standard": 0.25, "pgd linf": 0.05, "pgd l2": 0.02}[training]
    shape = (0.3 + 1.4 * rising) * (1 + epochs) ** -falling * (1 + 0.05 * draw.standard_normal())
    ease = draw.gamma(3, 1 / 3, num_images)
    accuracy = 1 - 0.88 * np.exp(-epochs / 4) - (0.0 if training == "standard" else 0.05)
    parts = []
    for split in ("train", "test"):
        reached = accuracy if split == "train" else np.minimum(accuracy, 0.85)
        correct = np.array([np.argsort(np.argsort(ease)) >= (1 - share) * num_images for share in reached])
        for norm in ("l2", "linf"):
            size = {"l2": 1.0, "linf": 0.06}[norm] * {"standard": 1, "pgd linf": 2.2, "pgd l2": 1.9}[training] * scale
            value = size * shape[:, None] * ease * np.exp(0.1 * draw.standard_normal((len(epochs), num_images)))
            sharp = (ease * np.exp(0.5 * draw.standard_normal(value.shape))) * (0.3 + epochs[:, None] / 10)
            confidence = 0.1 + 0.9 * (1 - np.exp(-sharp))
            parts.append(made["margins"](MOMENTS, value, correct, confidence, split, norm))
    tables = made["measured"](made["history"](MOMENTS, accuracy, np.minimum(accuracy, 0.85)), *parts)
    tables["history"] = tables["history"].assign(
        train_loss=2.3 * np.exp(-epochs / 3) + 0.003, test_loss=0.5 + 1.8 * np.exp(-epochs / 3) + epochs / 80
    )
    further = {"directions": directions(tables["margins"], draw), "noise": noise(accuracy, training)}
    return tables | further | {"first_order": first_order(tables["margins"])}


def first_order(rows):
    """Margins as they are, made of gaps that grow by the epoch."""
    gap = 1 + rows["epoch"]
    parts = rows.assign(logit_gap=gap, gradient_norm=gap / rows["margin"], boundary_class=1)
    return parts[TABLES["first_order"].column_names]


def directions(rows, draw):
    l2 = rows[(rows["norm"] == "l2") & (rows["index"] < 40)]
    parts = []
    for direction in range(4):
        distance = l2["margin"] * (14 + 3 * l2["epoch"] ** 0.5) * np.exp(0.4 * draw.standard_normal(len(l2)))
        found = distance < 80
        parts.append(
            l2[["step", "epoch", "split", "index", "correct"]].assign(
                direction=direction, distance=distance.where(found), success=found, boundary_class=1
            )
        )
    return pd.concat(parts, ignore_index=True)[TABLES["directions"].column_names]


def noise(accuracy, training):
    rows = []
    for (step, epoch), clean in zip(MOMENTS, accuracy, strict=True):
        for split in ("train", "test"):
            for kind, power in (("gaussian", 1.0), ("uniform", 0.9)):
                for size in (0.0, 0.05, 0.1, 0.2, 0.4):
                    lost = power * size / (0.3 if training == "standard" else 0.6)
                    value = (clean if split == "train" else min(clean, 0.85)) * np.exp(-(lost**2))
                    about = {"step": step, "epoch": epoch, "split": split, "noise": kind, "size": size}
                    rows.append({**about, "num_images": 120, "num_draws": 2, "accuracy": value})
    return pd.DataFrame(rows)


def checked(run, seed):
    """A measurement of three checkpoints below the run, by three estimators."""
    draw = np.random.default_rng(seed)
    folder = Measurement.of_run(run, "margin", {"seed": seed})
    with folder.claimed():
        folder.write_config({"schema": SCHEMA_VERSION})
        parts = []
        for step, epoch in ((50, 1.0), (400, 8.0), (2500, 50.0)):
            for split in ("train", "test"):
                for norm, size in (("l2", 1.0), ("linf", 0.06)):
                    best = size * draw.gamma(3, 1 / 3, 30) * (1 + epoch) ** -0.2
                    about = {"step": step, "epoch": epoch, "split": split, "index": range(30), "norm": norm}
                    for estimator, factor in (("deepfool", 1.08), ("walk", 1.0), ("ddn", 1.03)):
                        ratio = factor + 0.02 * draw.random(30) * (estimator != "walk")
                        found = {"clipped": False, "estimator": estimator, "margin": best * ratio}
                        parts.append(pd.DataFrame({**about, **found, "best_known": best, "ratio": ratio}))
        folder.writer("estimator_check").append(pd.concat(parts))
        folder.set_status("finished")
