"""The schemas of all tables: columns, types, units, meaning. Writers fill them, figures read them, docs print them.

`python scripts/print_tables.py` prints docs/tables.md.
"""

from __future__ import annotations

import re
from types import ModuleType

from . import deepdig, detection, geometry, lastlayer, margins, training
from .table import KINDS, Column, Table

# a file of declarations a study
DECLARED: tuple[ModuleType, ...] = (training, margins, geometry, detection, deepdig, lastlayer)

TABLES = {found.name: found for module in DECLARED for found in vars(module).values() if isinstance(found, Table)}

__all__ = ["KINDS", "TABLES", "Column", "Table", "as_markdown", "declare"]


def declare(table: Table) -> Table:
    """Adds a plug-in's table to the others; a name can be taken once."""
    if table.name in TABLES or not re.fullmatch("[a-z][a-z0-9_]*", table.name):
        raise ValueError(f"table {table.name}: declared twice, or not a name")
    TABLES[table.name] = table
    return table


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
