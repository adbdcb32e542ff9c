"""A study's runs as they are published: without checkpoints, what is small in one file, with checksums.

A published run is a run's folder like any other: `find_runs` finds it, `OwnedFolder` reads its tables.

<place>/
    data/runs/<experiment>/seed=<n>/    published.zip, the measurements in it too; arrays/, measurements/<name>/arrays/
    *.png, *.md, *.csv                  figures, all captions on one page, and verdicts, drawn from data/
    provenance.json                     the commit and the versions that drew them
    SHA256SUMS                          a line for each file
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BusyError, RunError
from .arrays import last_of, read_arrays, write_arrays
from .collect import RunRecord, find_runs
from .csvfile import in_columns
from .files import below, copy_folder, json_text, known_as, refuse_links, write_text
from .folder import Measurement, Run
from .owned import CONFIG, PROVENANCE, STATUS, OwnedFolder, config_text, table_file
from .packed import MEASUREMENTS, PACKED, pack, packed_names, unpacked
from .reading import TABLE_LIMIT
from .table import PIXELS
from .tables import ARRAYS, TABLES

# the part of a publication that holds the runs
DATA = "data"
# of floating-point numbers: a rounding error of at most 5e-4 of a value is far below what seeds and images vary by; of
# the many rows of single images fewer: 5e-3 of a margin is about what estimators differ by, and no mean is moved by it
DIGITS, DIGITS_OF_IMAGES, OF_IMAGES = 4, 3, ("margins", "first_order", "directions")
# pixels of images are multiples of it: a sixteenth of the shades that a picture has; a power of 2 leaves bits that pack
PIXEL_STEP = 2.0**-12
# what no figure of a study, no verdict and no report reads: tables, columns, arrays
LEFT_OUT = ("ae", "ae_training", "batches", "confusion", "idc_pairs", "runtime", "scores", "timings")
UNREAD = {
    "margins": ("logit_gap", "margin_overshot", "margin_relative", "iterations", "forwards", "backwards"),
    "first_order": ("boundary_class",),
    "directions": ("boundary_class",),
}
ARRAYS_LEFT_OUT = {"borderline", "borderline_test", "points"}
# what figures show of an experiment's smallest seed alone, as all arrays; what is read of the main study alone
OF_ONE_SEED, OF_MAIN = ("bisection",), ("first_order",)
CHECKSUMS = "SHA256SUMS"
# those of all pictures
CAPTIONS = "captions.md"
# of renameat2 on Linux: paths relative to the working folder, and both names exchanged in one step
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def add_runs(records: Sequence[RunRecord], data: Path) -> None:
    """Puts runs and their finished measurements below `data`; what is there of the same training already stays.

    Numbers of tables keep `DIGITS` significant digits, of single images `DIGITS_OF_IMAGES`; the columns `UNREAD` hold
    nan or -1. Pixels are multiples of `PIXEL_STEP`, other arrays keep all digits. The tables `OF_ONE_SEED` and the
    arrays of the last moment are those of an experiment's smallest seed that has them, here and there: another seed's
    go when a smaller one is added, and come when the smallest is not there any more. The tables `OF_MAIN` are those of
    the study main. Of a run that was not finished only config, status and provenance are put there, and only where no
    finished one is.

    Raises:
        RunError: a table of a run is damaged.
    """
    already = find_runs([str(data)])[0] if data.is_dir() else []
    finished = [record for record in records if record.state == "finished"]
    # by experiment, and by measurement of an experiment, which the smallest seed of all may not have
    smallest: dict[tuple[str, str], int] = {}
    for record in [*already, *finished]:
        for name in ("", *(one.path.name for one in record.measurements())):
            key, seed = (record.run.experiment, name), record.identity["seed"]
            smallest[key] = min(seed, smallest.get(key, seed))
    # what is there may have too much now; of several trainings of a run the one that finished last stays
    for record in [*already, *sorted(records, key=lambda one: str(one.run.status().get("updated", "")))]:
        _add_run(record, data, smallest)


def _add_run(record: RunRecord, data: Path, smallest: Mapping[tuple[str, str], int]) -> None:
    place = data / "runs" / record.run.experiment / f"seed={record.identity['seed']}"
    if record.state != "finished":
        if not Run(place).finished:
            shutil.rmtree(place, ignore_errors=True)
            _pack(place, _words(record.run))
        return
    if not _is_same(record.run, Run(place)):
        # measurements of another training go too
        shutil.rmtree(place, ignore_errors=True)
    published = texts = _packed(place)
    for source in (record.run, *record.measurements()):
        name = "" if source is record.run else source.path.name
        folder, begin = (place / MEASUREMENTS / name, f"{MEASUREMENTS}/{name}/") if name else (place, "")
        if name and not _is_same(source, Measurement(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            texts = {file: text for file, text in texts.items() if not file.startswith(begin)}
        is_smallest = record.identity["seed"] == smallest.get((record.run.experiment, name))
        others = {*(() if is_smallest else OF_ONE_SEED), *(() if record.identity["study"] == "main" else OF_MAIN)}
        texts = {file: text for file, text in texts.items() if file not in {begin + table_file(one) for one in others}}
        there = {one for one in TABLES if begin + table_file(one) in texts}
        texts = {begin + file: text for file, text in _results(source, {*LEFT_OUT, *others, *there}).items()} | texts
        if is_smallest:
            _add_arrays(source, folder)
        else:
            shutil.rmtree(folder / "arrays", ignore_errors=True)
    if texts != published:
        _pack(place, texts)


def _is_same(first: OwnedFolder, second: OwnedFolder) -> bool:
    """Whether both are one piece of work, by the time and the process that finished it."""
    return bool(first.status()) and first.status() == second.status()


def _results(source: OwnedFolder, left_out: set[str]) -> dict[str, str]:
    """What is packed of finished work: its tables beside its words."""
    tables = {}
    for name in TABLES.keys() - left_out:
        if source.has_table(name):
            rows = source.table(name)
            for column in UNREAD.get(name, ()):
                rows[column] = math.nan if rows[column].dtype == float else -1
            digits = DIGITS_OF_IMAGES if name in OF_IMAGES else DIGITS
            tables[table_file(name)] = in_columns(rows, TABLES[name], digits)
    return tables | _words(source)


def _words(source: OwnedFolder) -> dict[str, str]:
    """Config, status and provenance."""
    words = {STATUS: source.status(), PROVENANCE: source.starts()}
    return {CONFIG: config_text(source.read_config())} | {name: json_text(found) for name, found in words.items()}


def _packed(folder: Path) -> dict[str, str]:
    """What is packed of a folder, a text by its name."""
    return {name: unpacked(folder, name, TABLE_LIMIT) for name in packed_names(folder)}


def _pack(place: Path, texts: dict[str, str]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    pack(place, texts)


def _add_arrays(source: OwnedFolder, place: Path) -> None:
    for name, path in last_of(source.path).items():
        copy = place / "arrays" / path.name
        if name in ARRAYS.keys() - ARRAYS_LEFT_OUT and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy_arrays(name, path, copy)


def _copy_arrays(name: str, path: Path, place: Path) -> None:
    images = [array for array in ARRAYS[name].arrays if array.axes[-2:] == ("row", "column") and array.unit == PIXELS]
    if not images:
        shutil.copyfile(path, place)
        return
    kept = read_arrays(path, name)
    for key in kept:
        found = ARRAYS[name].of(key)
        if found is not None and found[0] in images:
            kept[key] = (kept[key] / PIXEL_STEP).round() * PIXEL_STEP
    write_arrays(place, name, kept)


def take(publication: Path, run: Run) -> None:
    """Puts what is published of `run` into its folder: the whole run where there is none, else further measurements.

    A run of another training than the published one stays as it is.
    """
    published = Run(publication / DATA / "runs" / run.path.parent.name / run.path.name)
    if not published.finished:
        return
    if not run.path.exists():
        with _whole(run.path) as fresh:
            refuse_links(published.path)
            copy_folder(published.path, fresh)
    elif _is_same(published, run):
        for measurement in RunRecord(published, published.read_config(), published.state()).measurements():
            place = run.path / MEASUREMENTS / measurement.path.name
            if not Measurement(place).status():
                with _whole(place) as fresh:
                    refuse_links(measurement.path)
                    if measurement.path.is_dir():
                        copy_folder(measurement.path, fresh)
                    if not (fresh / PACKED).exists():
                        _pack(fresh, _packed(measurement.path))


@contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """A name for a folder that becomes `place` when the block ends, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with known_as(place, temporary):
            yield temporary
            try:
                temporary.rename(place)
            except OSError as error:
                # another process has put it there
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def renewing(place: Path) -> Iterator[Path]:
    """A folder to write the next publication into, which replaces the one in `place` when the block ends.

    It begins with the published data. A kill at any moment leaves the old publication in `place` or the one after it.

    Raises:
        RunError: `place` holds files that no publication wrote, or a link, or is part of another publication.
        BusyError: another process publishes there.
    """
    _refuse_inside(place)
    made = [folder for folder in place.absolute().parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (place.with_name(f".{place.name}.{ending}") for ending in ("part", "old"))
    locked = place.with_name(f".{place.name}.lock")
    lock = FileLock(locked)
    try:
        with known_as(place, locked):
            lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{place}: another process publishes there") from None
    try:
        if old.exists() and not place.exists():
            # killed between two renames
            old.rename(place)
        for left_behind in (fresh, old):
            shutil.rmtree(left_behind, ignore_errors=True)
        _refuse_foreign(place)
        with known_as(place, fresh):
            fresh.mkdir()
            if (place / DATA).is_dir():
                copy_folder(place / DATA, fresh / DATA)
            yield fresh
            _write_checksums(fresh)
            _exchange(fresh, place, old)
    finally:
        for left_behind in (fresh, old):
            shutil.rmtree(left_behind, ignore_errors=True)
        lock.release()
        locked.unlink(missing_ok=True)
        for folder in made:
            # where nothing was published
            with suppress(OSError):
                folder.rmdir()


def _refuse_inside(place: Path) -> None:
    for folder in place.resolve().parents:
        if (folder / CHECKSUMS).is_file() and (folder / DATA).is_dir():
            raise RunError(f"to={place}: is inside the publication {folder}; name a folder beside it")


def _refuse_foreign(place: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise RunError(f"to={place}: is a file; name a folder")
    refuse_links(place)
    known = {CHECKSUMS, *(name for _, name in checksums(place))}
    foreign = sorted(
        str(path.relative_to(place))
        for path in below(place)
        if path.is_file() and path.relative_to(place).as_posix() not in known
    )
    if foreign:
        raise RunError(f"to={place}: holds files that bdry publish did not write ({foreign[0]}); name an empty folder")


def _exchange(fresh: Path, place: Path, old: Path) -> None:
    """Puts `fresh` in the place of `place`, in one step where the system can."""
    if not place.exists():
        fresh.rename(place)
    elif not _exchange_names(fresh, place):
        place.rename(old)
        fresh.rename(place)


def _exchange_names(first: Path, second: Path) -> bool:
    """Lets two folders exchange their names; whether this system and this disk can do that."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS, a line for each file below `folder`, as `sha256sum -c` takes it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    write_text(folder / CHECKSUMS, "\n".join(lines) + "\n")


def checksums(place: Path) -> list[tuple[str, str]]:
    """The checksum and the name of each file of a publication; empty where `place` holds none."""
    path = place / CHECKSUMS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [(digest, name) for digest, _, name in (line.partition("  ") for line in lines)]


def sha256(path: Path) -> str:
    """A file's SHA-256 as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def readable(data: Path) -> list[RunRecord]:
    """The finished runs of a publication. Raises `RunError` for what cannot be read, as of another version of bdry."""
    records, unreadable = find_runs([str(data)], unfinished=True)
    if unreadable:
        raise RunError(unreadable[0])
    for record in records:
        for folder in (record.run, *record.measurements()):
            for name in TABLES:
                if folder.has_table(name):
                    folder.table(name)
    return [record for record in records if record.state == "finished"]


def check_size(folder: Path, most: float) -> float:
    """How much a publication holds, MB. Raises `RunError` where that is more than `most`, with the largest files."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    size = megabytes(files)
    if size > most:
        largest = ", ".join(f"{path.relative_to(folder)} {megabytes([path]):.2f} MB" for path in files[:3])
        parts = {
            part: [p for p in files if (p.relative_to(folder).parts[0] == DATA) == (part == DATA)]
            for part in (DATA, "figures")
        }
        shares = ", ".join(f"{part} {megabytes(paths):.1f} MB" for part, paths in parts.items())
        raise RunError(f"this would be {size:.1f} MB ({shares}), more than max_mb={most:g}; the largest: {largest}")
    return size


def megabytes(paths: Sequence[Path]) -> float:
    """How much these files hold, in MB."""
    return sum(path.stat().st_size for path in paths) / 1e6
