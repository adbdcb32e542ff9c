"""`bdry report`: runs as one HTML page, from their tables and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..claims import judge
from ..errors import unwritable
from ..html import Explorer, Paper, explore, origin, page, panels
from ..runs import RunRecord, find_runs
from ..runs.files import write_text
from ..selection import Evidence
from ..session.console import Steps, say_skipped
from ..session.made_by import made_by
from ..settings.commands import ReportConfig


def run(config: ReportConfig) -> None:
    """Writes <outputs>/report.html."""
    records, skipped = find_runs(config.runs, unfinished=True)
    say_skipped(skipped)
    drawn = [record for record in records if config.unfinished or record.state == "finished"]
    with Steps("table") as say:
        evidence = Evidence.of(drawn, [record for record in records if record not in drawn], say)
    papers = [_paper(name, evidence, drawn) for name in config.papers]
    origins = [origin(record, [(made_by(entry), entry) for entry in record.run.starts()]) for record in records]
    explorer = _explorer(drawn, config.num_images)
    path = Path(config.outputs).expanduser() / "report.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page(records, skipped, papers, explorer, origins, num_drawn=len(drawn)))
    except OSError as error:
        raise unwritable(path, error, "; choose outputs=<folder>") from None
    print(f"{path}: {len(records)} runs, {path.stat().st_size / 1e6:.1f} MB")


def _paper(name: str, evidence: Evidence, drawn: Sequence[RunRecord]) -> Paper:
    with Steps(f"{name}, claim") as say:
        verdicts = judge(name, evidence, say)
    with Steps(f"{name}, figure") as say:
        return Paper(name, verdicts, panels(name, drawn, say))


def _explorer(records: Sequence[RunRecord], num_images: int) -> Explorer:
    """The explorer, with the data sets' own images where they are here."""
    if not num_images:
        return Explorer(notes=["The image explorer was left out: num_images=0."])
    from ..session.dataset_images import LoadedImages

    originals = LoadedImages()
    with Steps("images, run") as say:
        found = explore(records, num_images, originals, say)
    notes = [f"The images of {name} are not shown: {reason}." for name, reason in originals.missing.items()]
    return Explorer(found.data, [*found.notes, *notes])
