"""`bdry publish`: a study's tables, figures and verdicts for a repository, redrawn from what is published. No torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError, unwritable
from ..figures.captions import together
from ..figures.style import CAPTION
from ..runs import RunRecord, find_runs
from ..runs.files import write_json, write_text
from ..runs.provenance import provenance
from ..runs.published import CAPTIONS, DATA, add_runs, check_size, readable, renewing
from ..session.console import say_skipped
from ..settings import PublishConfig
from ..studies.figures import check_figure
from .figures import redraw


def paper_of(record: RunRecord) -> str:
    """The paper whose preset trained the run; "" where none did."""
    preset = record.config.get("paper")
    return preset.partition("/")[0] if isinstance(preset, str) else ""


def run(config: PublishConfig) -> None:
    """Adds the runs to <to>/data, then draws figures and judges claims from it into <to>.

    Runs that a preset of another paper trained are skipped; a run that no preset trained is of no paper, and stays.

    Raises:
        UsageError: no run is finished, all are another paper's, or the paper has no such figure.
        RunError: the publication would be larger than config.max_mb, <to> holds other files, is part of another
            publication, or has tables that this version cannot read. As after a kill, the earlier publication is in
            <to> then.
    """
    check_figure(config.paper, config.figure)
    found, skipped = find_runs(config.runs, unfinished=True, copies=True)
    others = sorted({paper_of(record) for record in found} - {"", config.paper})
    records = [record for record in found if paper_of(record) not in others]
    if found and not records:
        raise UsageError(f"paper={config.paper}: the runs are of {', '.join(others)}, as in paper={others[0]}")
    elsewhere = [f"{one.run.path}: a run of {paper_of(one)}" for one in found if paper_of(one) in others]
    say_skipped([*skipped, *elsewhere])
    if not any(record.state == "finished" for record in records):
        raise UsageError(f"runs={' '.join(config.runs)}: no finished run among them")
    place = Path(config.to).expanduser()
    try:
        with renewing(place) as fresh:
            add_runs(records, fresh / DATA)
            published = readable(fresh / DATA)
            paths = redraw(config.paper, config.figure, published, [str(fresh / DATA)], fresh, judged=True)
            names = {path.name for path in paths}
            for path in paths:
                # what a picture shows is drawn from the data, by whoever wants it as PDF, CSV or for LaTeX
                if path.suffix in (".pdf", ".tex") or (path.suffix == ".csv" and f"{path.stem}.png" in names):
                    path.unlink()
            captions = [path for path in paths if path.name.endswith(CAPTION)]
            # each small file takes a block of the disk
            write_text(fresh / CAPTIONS, together(captions))
            for path in captions:
                path.unlink()
            write_json(fresh / "provenance.json", provenance(paper=config.paper, figure=config.figure))
            size = check_size(fresh, config.max_mb)
    except OSError as error:
        raise unwritable(place, error, "; choose to=<folder>") from None
    for path in sorted(place.iterdir()):
        print(path)
    print(f"{place}: {len(published)} runs, {size:.2f} MB")
