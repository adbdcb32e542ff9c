"""`launch=joblib`: how many workers, and the share of the machine's cores and GPUs that each has."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from ..errors import ConfigError
from ..session.cores import num_cores

# what joblib calls as many as possible
ALL = -1


def num_workers(n_jobs: int, device: str = "auto") -> int:
    """Jobs side by side where the launcher's config says `n_jobs`.

    -1, the default: one a core, or one a GPU where there are several and `device` may be one. -2: one core less, ...
    Raises `ConfigError` for 0.
    """
    if n_jobs == 0:
        raise ConfigError("hydra.launcher.n_jobs", 0, "must be at least 1, or -1 for as many as the machine has")
    if n_jobs > 0:
        return n_jobs
    several = len(gpus()) if device in ("auto", "cuda") else 0
    if n_jobs == ALL and several > 1:
        return several
    return max(1, num_cores() + 1 + n_jobs)


def threads_each(workers: int) -> int:
    """CPU threads of each of so many workers."""
    return max(1, num_cores() // workers)


def take_share(config: DictConfig, hydra_config: DictConfig) -> None:
    """Gives this worker its share of cores, in `config` unless it has threads already, and a GPU of several."""
    workers = num_workers(hydra_config.launcher.n_jobs, config.get("device", "cpu"))
    if "threads" in config and config.threads is None:
        config.threads = threads_each(workers)
    if config.get("device") in ("auto", "cuda"):
        take_gpu(Path(hydra_config.sweep.dir), workers)


@functools.cache
def gpus() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES calls the GPUs that this process may use, as it was when first asked.

    Where the variable is not set, the driver's own list; empty where there is no driver.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        try:
            visible = ",".join(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split())
        except (OSError, subprocess.CalledProcessError):
            visible = ""
    return tuple(name.strip() for name in visible.split(",") if name.strip())


@functools.cache
def take_gpu(folder: Path, workers: int) -> FileLock | None:
    """Leaves this worker one GPU of several, through CUDA_VISIBLE_DEVICES, before torch looks for any.

    folder: of the sweep; its lock files keep two of the `workers` from having the same one, unless there are more
    workers than GPUs. The operating system frees a lock with its process. None where there are not several GPUs.
    """
    found = gpus()
    if len(found) < 2:
        return None
    for place in range(workers):
        lock = FileLock(folder / f"gpu-{place}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = found[place % len(found)]
        return lock
    return None
