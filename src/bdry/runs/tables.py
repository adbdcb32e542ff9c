"""All tables and arrays: training's own, declared here, and those of the studies, which declare theirs.

Writers fill them, figures read them, and `python scripts/print_tables.py` prints docs/tables.md from them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from .table import ARRAYS, KINDS, PIXELS, TABLES, Array, Arrays, Column, Table, declare, moment_arrays, moment_table

__all__ = [
    "ARRAYS",
    "KINDS",
    "TABLES",
    "Array",
    "Arrays",
    "Column",
    "Table",
    "as_markdown",
    "declare",
    "moment_arrays",
    "moment_table",
]

HISTORY = moment_table(
    "history",
    "One row a measured moment: how well the classifier does.",
    Column("lr", "float", "learning rate of the next step"),
    Column("objective", "float", "mean of the minimised batch losses since the row before; nan at step 0"),
    Column("train_loss", "float", "cross-entropy on the training split (evaluation.max_images of it)"),
    Column("train_accuracy", "float", "share of right labels there"),
    Column("test_loss", "float", "cross-entropy on the test split (evaluation.max_images of it)"),
    Column("test_accuracy", "float", "share of right labels there"),
    Column("robust_accuracy", "float", "share of test images still right under PGD; nan where not measured"),
    Column("robust_norm", "str", "norm of that PGD"),
    Column("robust_eps", "float", "radius of that PGD", PIXELS),
)

TIMINGS = moment_table(
    "timings",
    "Seconds spent: with svm_timings a run's only table that differs from one run of the same command to the next.",
    Column("training_seconds", "float", "training since the row before", "s"),
    Column("measuring_seconds", "float", "evaluation and probes at this moment", "s"),
)

# a study is above this room, but who asks for a table must have it: the studies' declarations are looked up by name
_DECLARED = [importlib.import_module(__name__), *importlib.import_module("bdry.studies").import_all("tables")]


def as_markdown() -> str:
    """The page docs/tables.md."""
    lines = [
        "# Tables and arrays",
        "",
        "<!-- printed by `python scripts/print_tables.py`; a test holds it to the code -->",
        "",
        "A run's folder has its tables in `tables/<name>.csv` and its arrays in `arrays/<name>-step=<n>.npz`, as has a",
        "measurement's (`bdry margin`). Truth values in tables are 0 and 1; a number that does not exist is `nan`.",
    ]
    declared = [found for module in _DECLARED for found in vars(module).values()]
    for table in (found for found in declared if isinstance(found, Table)):
        rows = [f"| `{c.name}` | {c.kind} | {c.unit} | {c.meaning} |" for c in table.columns]
        lines += _section(table.name, table.meaning, "| column | type | unit | meaning |", rows)
    for file in (found for found in declared if isinstance(found, Arrays)):
        rows = [f"| `{a.name}` | {', '.join(a.axes)} | {a.kind} | {a.unit} | {a.meaning} |" for a in file.arrays]
        lines += _section(f"{file.name} (arrays)", file.meaning, "| array | axes | type | unit | meaning |", rows)
    return "\n".join(lines) + "\n"


def _section(title: str, meaning: str, header: str, rows: list[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", meaning, "", header, "|---" * (header.count("|") - 1) + "|", *rows)
