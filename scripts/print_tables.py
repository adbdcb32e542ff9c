"""Prints docs/tables.md from the declared schemas: python scripts/print_tables.py > docs/tables.md."""

from bdry.runs.tables import as_markdown

print(as_markdown(), end="")
