"""hydra-joblib-launcher with a number of workers that fits the machine; a worker that dies takes few jobs along."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class JoblibLauncher(Launcher):
    """Jobs side by side on this machine."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Builds the stock launcher."""
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher as Stock

        from bdry.cli.workers import num_workers

        workers = num_workers(self.settings["n_jobs"], config.get("device", "cpu"))
        self.stock = Stock(**{**self.settings, "n_jobs": workers})
        self.stock.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.folder = Path(config.hydra.sweep.dir)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs. Where a worker dies joblib ends the others: the jobs that had not begun are launched anew.

        Raises `StoppedError` where a signal has come: joblib has ended the workers, whose jobs the same command goes
        on with.
        """
        from bdry.runs import Sweep
        from bdry.session.python_child import keep_out_current_folder
        from bdry.session.stopping import stopping

        keep_out_current_folder()
        try:
            with stopping() as stop, stop.at_once():
                return self.stock.launch(job_overrides, initial_job_idx)
        except BrokenExecutor:
            sweep, numbers = Sweep(self.folder), range(initial_job_idx, initial_job_idx + len(job_overrides))
            begun = [number for number in numbers if sweep.has_begun(number)]
            if not begun:
                raise
            first = begun[-1] + 1
            return self.launch(job_overrides[first - initial_job_idx :], first) if first in numbers else []
