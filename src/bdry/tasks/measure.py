"""What every command on a finished run does: one probe on the run's checkpoints, into a measurement's folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch

from ..core.moment import Moment
from ..probes import PROBES, Context, Probe
from ..runs import SCHEMA_VERSION, TABLES, Measurement, find_runs, read_table
from ..runs.provenance import provenance
from ..schema import TrainConfig, science
from ..schema.run_task import RunTask
from ..studies.figures import draw_figures
from .build import build_estimator, prepare_machine
from .progress import Counting
from .stopping import ended, stopping
from .stored import StoredRun, open_run


def measure_run(
    config: RunTask,
    command: str,
    probe_name: str,
    paper: str,
    further: Callable[[TrainConfig], dict[str, Any]] = lambda trained: {},
) -> Measurement:
    """Measures the chosen checkpoints of a run by a probe, resuming after the last one done, and draws the figures.

    The folder is a function of the settings: the same command again finds its results there. further: settings of the
    probe that follow from the run's own config.
    """
    device = prepare_machine(config.device, config.threads)
    stored = open_run(config.run, config.checkpoint, device)
    # steps is a setting of some probes
    about = {"schema": SCHEMA_VERSION, "checkpoint_steps": stored.steps}
    settings = {**science(config), **about}
    folder = Measurement.of_run(stored.run, command, settings)
    if folder.finished:
        print(f"{folder.name} is finished already: {folder.path}")
        return folder
    context = Context(
        estimator=build_estimator(stored.config.margin),
        estimator_name=stored.config.margin.name,
        data_seed=stored.config.dataset.subset_seed,
    )
    probe = PROBES[probe_name](context, **config.probe_settings(), **further(stored.config))
    with folder.claimed():
        # another process may have finished it while this one loaded its data
        if not folder.finished:
            folder.write_config({**asdict(config), **about, "command": command})
            _start_or_resume(folder, stored, probe, paper)
    print(folder.path)
    return folder


def _start_or_resume(folder: Measurement, stored: StoredRun, probe: Probe, paper: str) -> None:
    folder.add_provenance(
        provenance(
            device=str(stored.dataset.train.labels.device),
            threads=torch.get_num_threads(),
            data=stored.dataset.checksums(),
        )
    )
    folder.set_status("running", error=None)
    done = _cut_back(folder)
    progress = Counting(folder.name, len(stored.moments), "checkpoint")
    progress.begin_at(sum(moment.step <= done for moment in stored.moments))
    try:
        with progress, stopping() as stop:
            for moment in stored.moments:
                if moment.step > done:
                    _measure_moment(folder, stored, probe, moment)
                    progress.count(1, f"step {moment.step}")
                    stop.obey()
        records, _ = find_runs([str(stored.run.path)], unfinished=True)
        draw_figures(paper, "all", [record.only(folder) for record in records], folder.figures)
    except BaseException as error:
        folder.set_status(ended(error), error=str(error) or type(error).__name__)
        raise
    folder.set_status("finished")


def _cut_back(folder: Measurement) -> int:
    """Drops what the last kill left past the last moment that was measured whole; the step of that one, or -1.

    The table timings gets a moment's row after the others got theirs.
    """
    done = -1
    if folder.writer("timings").num_rows():
        done = int(read_table(folder.table_path("timings"), TABLES["timings"])["step"].iloc[-1])
    for name in TABLES:
        folder.writer(name).drop_after(done)
    return done


def _measure_moment(folder: Measurement, stored: StoredRun, probe: Probe, moment: Moment) -> None:
    started = time.monotonic()
    measured = probe.measure(stored.load(moment.step), stored.dataset, moment)
    for name, arrays in measured.arrays.items():
        folder.write_arrays(name, moment.step, arrays)
    for name, rows in measured.tables.items():
        folder.writer(name).append(rows)
    timing = {"step": moment.step, "epoch": moment.epoch, "training_seconds": 0.0}
    folder.writer("timings").append(pd.DataFrame([{**timing, "measuring_seconds": time.monotonic() - started}]))
