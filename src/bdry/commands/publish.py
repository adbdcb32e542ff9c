"""`bdry publish`: a study's tables, figures and verdicts for a repository, redrawn from what is published. No torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError, unwritable
from ..figures.captions import together
from ..figures.style import CAPTION
from ..runs import find_runs
from ..runs.files import write_json, write_text
from ..runs.provenance import provenance
from ..runs.published import CAPTIONS, DATA, add_runs, check_size, readable, renewing
from ..session.console import say_skipped
from ..settings import PublishConfig
from .figures import redraw


def run(config: PublishConfig) -> None:
    """Adds the runs to <to>/data, then draws figures and judges claims from it into <to>.

    Raises:
        UsageError: no run is finished, or all are another paper's.
        RunError: the publication would be larger than config.max_mb, <to> holds other files, or tables that this
            version cannot read. As after a kill, the earlier publication is in <to> then.
    """
    records, skipped = find_runs(config.runs, unfinished=True, copies=True)
    say_skipped(skipped)
    if not any(record.state == "finished" for record in records):
        raise UsageError(f"runs={' '.join(config.runs)}: no finished run among them")
    # a run that was trained by no preset is of no paper
    of = {record.config["paper"].partition("/")[0] for record in records if isinstance(record.config.get("paper"), str)}
    if of and config.paper not in of:
        raise UsageError(f"paper={config.paper}: the runs are of {', '.join(sorted(of))}, as in paper={min(of)}")
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
