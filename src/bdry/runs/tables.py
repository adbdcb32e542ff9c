"""The schemas of all tables: columns, types, units, meaning. Writers fill them, figures read them, docs print them.

`python scripts/print_tables.py` prints docs/tables.md.
"""

from __future__ import annotations

from dataclasses import dataclass

# how a CSV cell of each kind is read; truth values are written as 0 and 1
KINDS = {"int": "int64", "float": "float64", "str": "str", "bool": "int64"}


@dataclass(frozen=True)
class Column:
    """One column: `kind` is int, float, str or bool."""

    name: str
    kind: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a run's or a measurement's folder, `tables/<name>.csv`."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> list[str]:
        """In the order of the file."""
        return [column.name for column in self.columns]


STEP = Column("step", "int", "optimiser steps done; 0 is initialisation")
EPOCH = Column("epoch", "float", "the same in passes over the training split")
PIXELS = "pixel units of [0, 1]"

HISTORY = Table(
    "history",
    "One row a measured moment: how well the classifier does.",
    (
        STEP,
        EPOCH,
        Column("lr", "float", "learning rate of the next step"),
        Column("objective", "float", "mean of the minimised batch losses since the row before; nan at step 0"),
        Column("train_loss", "float", "cross-entropy on the training split (evaluation.max_images of it)"),
        Column("train_accuracy", "float", "share of right labels there"),
        Column("test_loss", "float", "cross-entropy on the test split (evaluation.max_images of it)"),
        Column("test_accuracy", "float", "share of right labels there"),
        Column("robust_accuracy", "float", "share of test images still right under PGD; nan where not measured"),
        Column("robust_norm", "str", "norm of that PGD"),
        Column("robust_eps", "float", "radius of that PGD", PIXELS),
    ),
)

MARGINS = Table(
    "margins",
    "One row an image, norm and box at a moment: its distance to the decision boundary.",
    (
        STEP,
        EPOCH,
        Column("split", "str", "train or test"),
        Column("index", "int", "the image's position in the official split"),
        Column("label", "int", "its class"),
        Column("predicted", "int", "the class predicted for it, from which the margin is measured"),
        Column("correct", "bool", "whether they agree"),
        Column("confidence", "float", "softmax probability of the predicted class"),
        Column("logit_gap", "float", "largest logit minus the second largest"),
        Column("norm", "str", "l2 or linf"),
        Column("clipped", "bool", "0: distance in R^d; 1: inside the [0, 1] box"),
        Column("estimator", "str", "the margin estimator"),
        Column(
            "margin",
            "float",
            "distance to a point just beyond the boundary; nan where none was found",
            PIXELS,
        ),
        Column("lower_bound", "float", "certified lower bound of the distance; nan from most estimators", PIXELS),
        Column("margin_overshot", "float", "distance of the estimator's end point before bisection", PIXELS),
        Column("margin_relative", "float", "margin divided by the image's own norm"),
        Column("success", "bool", "whether a point beyond the boundary was found"),
        Column("boundary_class", "int", "the class beyond; -1 where none was found"),
        Column("iterations", "int", "the estimator's steps"),
        Column("forwards", "int", "forward passes spent on the image"),
        Column("backwards", "int", "backward passes spent on the image"),
    ),
)

MARGIN_SUMMARY = Table(
    "margin_summary",
    "The margins table in numbers: a row a moment, split, norm, box and subset.",
    (
        STEP,
        EPOCH,
        Column("split", "str", "train or test"),
        Column("norm", "str", "l2 or linf"),
        Column("clipped", "bool", "as in margins"),
        Column("estimator", "str", "the margin estimator"),
        Column("subset", "str", "all images, the correct ones or the incorrect ones"),
        Column("num_images", "int", "images in the subset"),
        Column("num_success", "int", "images with a margin; the statistics are over these"),
        Column("success_rate", "float", "num_success / num_images"),
        Column("mean", "float", "mean margin", PIXELS),
        Column("median", "float", "median margin", PIXELS),
        Column("q25", "float", "lower quartile", PIXELS),
        Column("q75", "float", "upper quartile", PIXELS),
        Column("min", "float", "smallest margin", PIXELS),
        Column("mean_lower_bound", "float", "mean certified lower bound; nan where there is none", PIXELS),
        Column("mean_iterations", "float", "the estimator's steps an image"),
    ),
)

TIMINGS = Table(
    "timings",
    "Seconds spent: a run's only table that differs from one run of the same command to the next.",
    (
        STEP,
        EPOCH,
        Column("training_seconds", "float", "training since the row before", "s"),
        Column("measuring_seconds", "float", "evaluation and probes at this moment", "s"),
    ),
)

ESTIMATOR_CHECK = Table(
    "estimator_check",
    "`bdry margin check=[...]`: one row an image, norm, box and estimator: the same margins by several estimators.",
    (
        STEP,
        EPOCH,
        Column("split", "str", "train or test"),
        Column("index", "int", "the image's position in the official split"),
        Column("norm", "str", "l2 or linf"),
        Column("clipped", "bool", "as in margins"),
        Column("estimator", "str", "the margin estimator; the measurement's own comes first"),
        Column("margin", "float", "distance to the point that it found; nan where it found none", PIXELS),
        Column("best_known", "float", "smallest of these margins over the estimators", PIXELS),
        Column("ratio", "float", "margin / best_known; nan where it found none"),
    ),
)

BATCHES = Table(
    "batches",
    "`bdry margin`: one row a batch measured, written after the batch's margins; timings, hence never twice the same.",
    (
        STEP,
        EPOCH,
        Column("split", "str", "train or test"),
        Column("num_images", "int", "images in the batch; fewer where memory ran out"),
        Column("seconds", "float", "measuring it", "s"),
    ),
)

TABLES = {table.name: table for table in (HISTORY, MARGINS, MARGIN_SUMMARY, TIMINGS, ESTIMATOR_CHECK, BATCHES)}


def as_markdown() -> str:
    """The page docs/tables.md."""
    lines = [
        "# Tables",
        "",
        "<!-- printed by `python scripts/print_tables.py`; a test holds it to the code -->",
        "",
        "A run's folder has its tables in `tables/<name>.csv`, as has a measurement's (`bdry margin`). Truth values",
        "are 0 and 1; a number that does not exist is `nan`.",
    ]
    for table in TABLES.values():
        lines += [
            "",
            f"## {table.name}",
            "",
            table.meaning,
            "",
            "| column | type | unit | meaning |",
            "|---|---|---|---|",
        ]
        lines += [f"| `{c.name}` | {c.kind} | {c.unit} | {c.meaning} |" for c in table.columns]
    return "\n".join(lines) + "\n"
