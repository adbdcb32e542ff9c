"""hydra-submitit-launcher whose waiting ends with the last job, whatever becomes of each.

The stock one leaves at the first job that was cancelled, and never without an accounting database, as only sacct would
tell it that a job is gone. Here a job is over when it has said how it ended, or when squeue does not list it any more.
"""

from __future__ import annotations

import getpass
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

POLL_S = 5.0
# looks at the queue that a job may be missing from: what it wrote is seen late on a network file system
LOOKS = 2


class SlurmLauncher(Launcher):
    """Jobs through SLURM, as one array; they go on without this process."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Builds the stock launcher, which is what the cluster runs."""
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as Stock

        self.stock = Stock(**self.settings)
        self.stock.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.folder = Path(config.hydra.sweep.dir)
        self.outputs = config.get("outputs", "outputs")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submits the jobs and waits for them."""
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        jobs = dict(zip(numbers, self._submit(job_overrides, numbers), strict=True))
        first, last = jobs[numbers[0]].job_id, jobs[numbers[-1]].job_id
        print(
            f"{len(jobs)} jobs submitted to SLURM, {first} to {last}; they go on without this process "
            f"(bdry runs {self.outputs} --watch)",
            flush=True,
        )
        self._wait(jobs)
        return []

    def _submit(self, job_overrides: Sequence[Sequence[str]], numbers: Sequence[int]) -> Sequence[Any]:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from submitit.core.utils import FailedJobError

        from bdry.errors import UsageError
        from bdry.session.python_child import keep_out_current_folder

        # sbatch hands the environment on
        keep_out_current_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = dict(self.stock.params)
        executor = submitit.AutoExecutor(
            folder=settings.pop("submitit_folder"),
            cluster="slurm",
            slurm_max_num_timeout=settings.pop("max_num_timeout"),
        )
        general = BaseQueueConf.__dataclass_fields__
        executor.update_parameters(
            **{name if name in general else f"slurm_{name}": value for name, value in settings.items()}
        )
        names = [f"job_id_for_{number}" for number in numbers]
        state = repeat(Singleton.get_state(), len(numbers))
        folders = repeat("hydra.sweep.dir", len(numbers))
        try:
            return executor.map_array(self.stock, map(list, job_overrides), folders, numbers, names, state)
        except FailedJobError as error:
            # submitit has shown all that sbatch says
            *_, said = str(error).splitlines() or [type(error).__name__]
            raise UsageError(f"launch=slurm: no job taken, {said} (hydra.launcher.* is what sbatch gets)") from None

    def _wait(self, jobs: dict[int, Any]) -> None:
        from bdry.runs import Outcome, Sweep

        sweep = Sweep(self.folder)
        unseen: Counter[int] = Counter()
        waiting = set(jobs)
        while waiting := {number for number in waiting if sweep.outcome(number) is None}:
            time.sleep(POLL_S)
            queued = _queued()
            if queued is None:
                continue
            for number in waiting:
                job = jobs[number]
                unseen[number] = 0 if job.job_id in queued else unseen[number] + 1
                if unseen[number] > LOOKS:
                    sweep.end(number, Outcome("failed", str(job.paths.stderr), _fate(job.job_id)))


def _queued() -> set[str] | None:
    """The user's jobs that wait or run, or None where SLURM does not answer."""
    done = _ask("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i")
    return set(done.stdout.split()) if done.returncode == 0 else None


def _fate(job_id: str) -> str:
    """What SLURM says of a job that is gone."""
    answer = _ask("scontrol", "--oneliner", "show", "job", job_id).stdout
    found = dict(word.split("=", 1) for word in answer.split() if "=" in word)
    return f"SLURM job {job_id}: {found.get('JobState', 'gone').lower().replace('_', ' ')}"


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)
