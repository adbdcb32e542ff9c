"""`bdry reproduce`: a paper's grid of runs through the other commands, then its figures and verdicts. No torch here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..claims import CLAIMS, judge
from ..conf import load_grid
from ..errors import BdryError, BusyError, RunError, UsageError, unwritable
from ..runs import RunRecord, find_runs, find_unfinished
from ..selection import Evidence
from ..session.console import say_skipped
from ..session.cores import num_cores
from ..session.python_child import ending_together, obey, run_bdry
from ..settings import Grid, ReproduceConfig
from ..settings.commands import Measuring
from ..studies.figures import draw_figures
from .figures import show_verdicts, write_claims

USAGE, SOME_FAILED, INTERRUPTED = 2, 3, 130
# between two looks at work that another process, such as one that a killed reproduce has left, is busy with
WAIT_S = 10.0


class IncompleteError(BdryError):
    """Some commands of the grid failed; the rest was done."""

    exit_code = SOME_FAILED


def run(config: ReproduceConfig) -> None:
    """Runs what is missing of the grid, draws every figure and writes the verdicts."""
    folder = Path(config.outputs).expanduser() / "reproduce" / f"{config.paper}-{config.scale}"
    grid = load_grid(config.paper, config.scale)
    with ending_together():
        failed = _train(grid, config, folder)
        records = _records(folder)
        failed += _measure(grid, records, workers=num_cores() if config.launcher == "joblib" else 1)
    try:
        for path in draw_figures(config.paper, "all", records, folder / "figures"):
            print(path)
        verdicts = judge(config.paper, Evidence.of(records, find_unfinished([str(folder)], records)))
        title = f"{config.paper} at scale={config.scale}: verdicts on {len(CLAIMS[config.paper])} claims"
        if failed:
            title += f"; {len(failed)} commands of the study did not finish"
        for path in write_claims(verdicts, title, folder):
            print(path)
    except OSError as error:
        raise unwritable(folder, error, "; choose outputs=<folder>") from None
    show_verdicts(verdicts, title)
    if failed:
        raise IncompleteError(
            f"{len(failed)} commands did not finish; the same command goes on; the first: {failed[0]}"
        )


def _train(grid: Grid, config: ReproduceConfig, folder: Path) -> list[str]:
    """Every sweep of the grid; the commands that failed."""
    failed = []
    published = [f"published={Path(config.published).expanduser()}"] if config.published else []
    for training in grid.train:
        words = ["train", "-m", *training.overrides, f"study='{training.study}'", f"launch={config.launcher}"]
        failed += _command([*words, *published, f"outputs={folder}", *config.overrides])
    return failed


def _records(folder: Path) -> list[RunRecord]:
    try:
        records, skipped = find_runs([str(folder)])
    except UsageError:
        raise RunError(f"{folder}: no run of the study was finished") from None
    say_skipped(skipped)
    return records


def _measure(grid: Grid, records: Sequence[RunRecord], workers: int) -> list[str]:
    """Every measurement of the grid, those of one run one after the other, so many runs side by side; what failed."""
    threads = ["threads=1"] if workers > 1 else []
    pool = ThreadPoolExecutor(workers)
    try:
        return [command for failed in pool.map(partial(_measure_run, grid, threads), records) for command in failed]
    finally:
        pool.shutdown(cancel_futures=True)


def _measure_run(grid: Grid, threads: list[str], record: RunRecord) -> list[str]:
    failed = []
    for measuring in grid.measure:
        if _is_meant(measuring, record):
            failed += _command([measuring.command, f"run={record.run.path}", *threads, *measuring.overrides])
    return failed


def _is_meant(measuring: Measuring, record: RunRecord) -> bool:
    identity = record.identity
    return identity["study"] == measuring.study and (measuring.seeds is None or identity["seed"] in measuring.seeds)


def _command(words: list[str]) -> list[str]:
    """Runs `bdry <words>` in a process of its own; the command where it failed, nothing where it did not."""
    shown = "bdry " + " ".join(words)
    # in one write: commands run side by side
    print(shown + "\n", end="", flush=True)
    code = run_bdry(words)
    while code == BusyError.exit_code:
        print(f"waiting for the process that works on it: {shown}", flush=True)
        _wait()
        code = run_bdry(words)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == USAGE:
        raise UsageError(f"{shown}: see the line above")
    return [shown] if code else []


def _wait() -> None:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        obey()
        time.sleep(min(WAIT_S, 0.5))
