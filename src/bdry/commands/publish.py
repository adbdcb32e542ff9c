"""`bdry publish`: a study's tables, figures and verdicts for a repository, redrawn from what is published. No torch."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..errors import RunError, UsageError, unwritable
from ..runs import find_runs
from ..runs.files import refuse_links
from ..runs.published import megabytes, publish_run, write_checksums
from ..settings import PublishConfig
from ..studies.figures import draw_figures
from .figures import claims_of

# the part of the place that holds the runs
DATA = "data"


def run(config: PublishConfig) -> None:
    """Writes <to>/data, then draws figures and judges claims from it into <to>.

    Raises:
        RunError: the data are larger than config.max_mb; nothing of an earlier publication is touched then.
    """
    records, skipped = find_runs(config.runs)
    for reason in skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if not records:
        raise UsageError(f"runs={' '.join(config.runs)}: no finished run among them")
    place = Path(config.to).expanduser()
    data, fresh = place / DATA, place / f".{DATA}.part"
    try:
        place.mkdir(parents=True, exist_ok=True)
        refuse_links(place)
        shutil.rmtree(fresh, ignore_errors=True)
        for record in records:
            publish_run(record, fresh)
        write_checksums(fresh)
        _check_size(fresh, config.max_mb)
        shutil.rmtree(data, ignore_errors=True)
        fresh.rename(data)
        published, _ = find_runs([str(data)])
        paths = draw_figures(config.paper, "all", published, place)
        paths += claims_of(config.paper, [str(data)], published, place)
        for pdf in [path for path in paths if path.suffix == ".pdf"]:
            # redrawn from the data by whoever wants it
            pdf.unlink()
    except OSError as error:
        raise unwritable(place, error, "; choose to=<folder>") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for path in paths:
        if path.exists():
            print(path)
    print(f"{data}: {len(published)} runs, {megabytes([p for p in data.rglob('*') if p.is_file()]):.2f} MB")


def _check_size(folder: Path, most: float) -> None:
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    size = megabytes(files)
    if size > most:
        largest = ", ".join(f"{path.relative_to(folder)} {megabytes([path]):.2f} MB" for path in files[:3])
        raise RunError(f"the data are {size:.1f} MB, more than max_mb={most:g}; the largest: {largest}")
