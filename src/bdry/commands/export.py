"""`bdry export <runs> --output runs.zip`: what a paper's supplement needs, as one archive. No torch here."""

from __future__ import annotations

import argparse
import shutil
import zipfile
from pathlib import Path

from ..errors import RunError, UsageError, reason, unwritable
from ..runs import Run, find_runs
from ..runs.files import replacing
from ..runs.reading import ARRAYS_LIMIT, regular
from ..session.console import say_skipped


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("runs", nargs="+", help="run folders, folders of runs, or globs")
    parser.add_argument("--output", default="runs.zip", help="the archive (default: runs.zip)")
    parser.add_argument("--checkpoints", action="store_true", help="the networks' weights too")


def run(parsed: argparse.Namespace) -> None:
    """Writes the archive of all finished runs; others are named."""
    records, skipped = find_runs(parsed.runs)
    say_skipped(skipped)
    if not records:
        raise UsageError(f"runs={' '.join(parsed.runs)}: no finished run among them")
    names = [record.run.name for record in records]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{twice}: two runs of this name; export them into an archive each")
    if not parsed.output.strip():
        raise UsageError("--output: needs the archive's name, as in --output runs.zip")
    output = Path(parsed.output).expanduser()
    if output.suffix.lower() != ".zip":
        raise UsageError(f"--output {parsed.output}: the archive is a zip file; its name ends in .zip")
    try:
        with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for record in records:
                folder = record.run.path.resolve()
                for path in Run(folder).to_keep(checkpoints=parsed.checkpoints):
                    # no link leads to what the run's owner did not mean to give away
                    if path.is_file() and path.resolve() == path:
                        _add(archive, path, f"{record.run.name}/{path.relative_to(folder).as_posix()}")
    except OSError as error:
        raise unwritable(output, error) from None
    print(f"{output}: {len(records)} runs, {output.stat().st_size / 1e6:.1f} MB")


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Puts a file into the archive under a name; one that cannot be read or is far too large is left out."""
    try:
        source = regular(path, ARRAYS_LIMIT).open("rb")
    except (RunError, OSError) as error:
        say_skipped([reason(error)])
        return
    # a name may have bytes that are no text, and a time that no archive has
    entry = zipfile.ZipInfo.from_file(path, name.encode(errors="backslashreplace").decode(), strict_timestamps=False)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)
