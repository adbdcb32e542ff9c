"""A study's runs as they are published: without checkpoints, tables compressed, with checksums.

A published run is a run's folder like any other: `find_runs` finds it, its tables are read by the same reader.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
from collections.abc import Sequence
from pathlib import Path

from .arrays import last_of
from .collect import RunRecord
from .csvfile import COMPRESSED, read_table, rounded
from .files import replacing, write_text
from .owned import OwnedFolder
from .tables import TABLES

# what a run says of itself
WORDS = ("config.yaml", "status.json", "provenance.json")
# tables that no figure and no verdict reads
LEFT_OUT = ("batches",)
CHECKSUMS = "SHA256SUMS"


def publish_run(record: RunRecord, folder: Path) -> Path:
    """Writes the run and its finished measurements below `folder`; the folder of the run.

    Floating-point columns keep six significant digits. Of arrays those of the last moment are kept.

    Raises:
        RunError: a table of the run is damaged.
    """
    place = folder / "runs" / record.run.name
    _publish(record.run, place)
    for measurement in record.measurements():
        _publish(measurement, place / "measurements" / measurement.path.name)
    return place


def _publish(source: OwnedFolder, place: Path) -> None:
    (place / "tables").mkdir(parents=True, exist_ok=True)
    for name in WORDS:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, place / name)
    for name in TABLES.keys() - LEFT_OUT:
        path = source.table_path(name)
        if path.exists():
            text = rounded(read_table(path, TABLES[name]), TABLES[name])
            with replacing(place / "tables" / f"{name}.csv{COMPRESSED}") as temporary:
                temporary.write_bytes(lzma.compress(text.encode(), preset=9))
    for path in last_of(source.path):
        (place / "arrays").mkdir(exist_ok=True)
        shutil.copyfile(path, place / "arrays" / path.name)


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS, a line for each file below `folder`, as `sha256sum -c` takes it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    write_text(folder / CHECKSUMS, "\n".join(lines) + "\n")


def megabytes(paths: Sequence[Path]) -> float:
    """How much these files hold, in MB."""
    return sum(path.stat().st_size for path in paths) / 1e6
