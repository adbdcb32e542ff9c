"""A sweep's jobs, each of which may fail without the others, and the table that it ends with."""

from __future__ import annotations

import math
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import RangeSweep
from omegaconf import DictConfig, open_dict

from ..conf import typed
from ..errors import BdryError, BusyError, StoppedError, UsageError, reason

if TYPE_CHECKING:
    from ..runs import Outcome

COLOURS = {"finished": "green", "skipped": "green", "running elsewhere": "cyan", "failed": "red"}

# values of one range that a sweep takes
MOST_VALUES = 100_000


class SweepError(BdryError):
    """At least one job of a sweep failed; each has printed its own line."""

    exit_code = 3


def check_job(composed: DictConfig) -> None:
    """Raises `UsageError` for a job's config with a mistake, before any job starts. composed: with Hydra's own node."""
    with open_dict(composed):
        del composed["hydra"]
    typed(composed)


def check_number(arguments: Sequence[str]) -> None:
    """Raises `UsageError` for a range that holds no value, or more than anybody sweeps."""
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        values = override.value()
        if not isinstance(values, RangeSweep):
            continue
        start, stop, step = (float(part or 0) for part in (values.start, values.stop, values.step))
        number = (stop - start) / step if step else math.inf
        if not 0 < number <= MOST_VALUES:
            raise UsageError(
                f"{override.input_line}: a range of {max(number, 0):g} values; 1 to {MOST_VALUES} can be swept"
            )


def attempt(task: Callable[[], Any]) -> None:
    """Runs one job of a sweep, in the launching process or a worker, and leaves how it ended in the sweep's folder.

    task: returns the folder (of a run or a measurement) that it worked in, or None. What it raises ends this job alone,
    but for the signal that stops a sweep whose jobs run in the launching process.
    """
    from ..runs import Outcome, Sweep
    from ..session.progress import time_left

    config = HydraConfig.get()
    sweep, number = Sweep(Path(config.runtime.output_dir).parent), int(config.job.num)
    if found := sweep.how_far():
        left = "" if found.seconds_left is None else time_left(found.seconds_left)
        print(", ".join(filter(None, [f"job {number + 1} of {found.total}", sweep.label(number), left])), flush=True)
    try:
        folder = task()
        place = str(folder.path) if folder else ""
        outcome = Outcome("finished" if folder is None or folder.was_claimed else "skipped", place)
    except BusyError as error:
        outcome = Outcome("running elsewhere", "", reason(error))
    except StoppedError as error:
        if config.runtime.choices["hydra/launcher"] == "basic":
            raise SystemExit(_complain(reason(error), error.exit_code)) from None
        outcome = Outcome("stopped", "", reason(error))
    except Exception as error:
        log = sweep.write_error(number, traceback.format_exc())
        outcome = Outcome("failed", str(log), reason(error))
        _complain(f"{labels([config.overrides.task])[0]}: {outcome.reason}")
    sweep.end(number, outcome)


def interrupted(folder: Path, jobs: Sequence[Sequence[str]]) -> None:
    """Prints how far each job of a sweep that is cut short has come."""
    from ..runs import Sweep

    if jobs:
        _print_table(labels(jobs), Sweep(folder).outcomes(len(jobs), interrupted=True))


def close(folder: Path, jobs: Sequence[Sequence[str]]) -> None:
    """Prints how each of the sweep's jobs ended. jobs: the overrides of each, in order.

    Raises `SweepError` where one failed; else `BusyError` where another process works on one, `StoppedError` where one
    was stopped.
    """
    from ..runs import Sweep

    outcomes = Sweep(folder).outcomes(len(jobs))
    _print_table(labels(jobs), outcomes)
    counts = Counter(outcome.state for outcome in outcomes)
    print(f"{len(jobs)} jobs: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    if counts["failed"]:
        raise SweepError(
            f"{counts['failed']} of {len(jobs)} jobs failed; the same command again runs only what is missing"
        )
    if counts["running elsewhere"]:
        raise BusyError(f"{counts['running elsewhere']} of {len(jobs)} jobs are another process's, not finished yet")
    if counts["stopped"]:
        raise StoppedError(f"{counts['stopped']} of {len(jobs)} jobs were stopped; the same command goes on")


def labels(jobs: Sequence[Sequence[str]]) -> list[str]:
    """What tells each job from the others: those of its overrides that not all have; all where nothing does.

    A path's = is one again, which Hydra's grammar wants behind a backslash.
    """
    common = set(jobs[0]).intersection(*jobs) if jobs else set()
    own = ([word for word in job if word not in common] or job for job in jobs)
    return [" ".join(words).replace("\\=", "=") for words in own]


def _print_table(names: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..session.console import plain_console

    # a job stays on one line in a log
    console = plain_console(10_000)
    table = Table("job", "state", "run or log", "reason", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, outcome in zip(names, outcomes, strict=True):
        state = Text(outcome.state, style=COLOURS.get(outcome.state, "yellow"))
        table.add_row(name, state, _shown(outcome.place), outcome.reason)
    console.print(table)


def _shown(place: str) -> str:
    """The path `place` from here where it is below."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else place


def _complain(line: str, code: int = 1) -> int:
    print(f"bdry: {line}", file=sys.stderr)
    return code
