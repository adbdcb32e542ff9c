"""The noun Run: a folder that holds all one training left. The only place that knows file names."""

from .collect import RunRecord, find_runs, find_unfinished
from .csvfile import TableWriter, read_table
from .folder import SCHEMA_VERSION, Measurement, Run, arch_name, check_version, run_name
from .sweep import Outcome, Sweep
from .tables import ARRAYS, TABLES, Array, Arrays, Column, Table, declare, declare_arrays

__all__ = [
    "ARRAYS",
    "SCHEMA_VERSION",
    "TABLES",
    "Array",
    "Arrays",
    "Column",
    "Measurement",
    "Outcome",
    "Run",
    "RunRecord",
    "Sweep",
    "Table",
    "TableWriter",
    "arch_name",
    "check_version",
    "declare",
    "declare_arrays",
    "find_runs",
    "find_unfinished",
    "read_table",
    "run_name",
]
