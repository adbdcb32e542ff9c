"""The noun Run: a folder that holds all one training left. The only place that knows file names."""

from .collect import RunRecord, find_runs, find_unfinished
from .csvfile import TableWriter, read_table
from .folder import SCHEMA_VERSION, Measurement, Run, arch_name, check_version, run_name
from .sweep import Outcome, Sweep
from .tables import ARRAYS, TABLES, Array, Arrays, Column, Table, declare, moment_arrays, moment_table

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
    "find_runs",
    "find_unfinished",
    "moment_arrays",
    "moment_table",
    "read_table",
    "run_name",
]
