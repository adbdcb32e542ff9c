"""The noun Run: a folder that holds all one training left. The only place that knows file names."""

from .collect import RunRecord, find_runs
from .csvfile import TableWriter, read_table
from .folder import Run, run_name
from .measurement import Measurement
from .tables import TABLES, Column, Table

__all__ = [
    "TABLES",
    "Column",
    "Measurement",
    "Run",
    "RunRecord",
    "Table",
    "TableWriter",
    "find_runs",
    "read_table",
    "run_name",
]
