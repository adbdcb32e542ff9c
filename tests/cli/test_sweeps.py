"""A sweep from its command line to its ending table, the task being a made one; workers' shares; waiting for SLURM."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from bdry.cli import main, workers
from bdry.cli.dispatch import SWEEPS
from bdry.cli.sweep import labels
from bdry.errors import BusyError, ConfigError, StoppedError, TrainingError
from bdry.runs import Outcome, Sweep
from bdry.settings.options import conf_dir

SEEDS = {
    0: lambda: SimpleNamespace(was_claimed=True, path=Path("outputs/runs/zero")),
    1: lambda: SimpleNamespace(was_claimed=False, path=Path("outputs/runs/one")),
    2: lambda: raising(TrainingError("the loss is not a number")),
    3: lambda: raising(KeyError("a bug")),
    4: lambda: raising(BusyError("another process works on this run (me on here, process 7)")),
    5: lambda: raising(StoppedError("stopped by SIGTERM")),
    6: lambda: raising(OSError(28, "No space left on device", "outputs/runs/six")),
}


def raising(error):
    raise error


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The seeds that a made `bdry train` was asked for."""
    seen = []

    def run(config):
        seen.append(config.seed)
        return SEEDS[config.seed]()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setitem(sys.modules, "bdry.commands.train", SimpleNamespace(run=run))
    return seen


def test_ctrl_c_in_a_sweep_ends_with_its_table_too(ran, monkeypatch, capsys):
    monkeypatch.setitem(SEEDS, 7, lambda: raising(KeyboardInterrupt()))
    assert main(["train", "-m", "seed=0,1,7,2", "training.epochs=1"]) == 130
    captured = capsys.readouterr()
    table = [line.split() for line in captured.out.splitlines() if line.startswith("seed=")]
    assert table == [
        ["seed=0", "finished", "outputs/runs/zero"],
        ["seed=1", "skipped", "outputs/runs/one"],
        ["seed=7", "stopped", "interrupted"],
        ["seed=2", "stopped", "interrupted"],
    ]
    assert captured.err.splitlines() == ["bdry: interrupted; the same command goes on from the last checkpoint"]


def test_a_sweep_ends_with_a_table_of_its_jobs(ran, capsys):
    assert main(["train", "-m", "seed=0,1,2,3,4,6", "training.epochs=1"]) == 3
    assert ran == [0, 1, 2, 3, 4, 6]
    captured = capsys.readouterr()
    said = [line for line in captured.out.splitlines() if line.startswith("job ") and " of 6" in line]
    assert said[0] == "job 1 of 6, seed=0"
    # one job has been worked on, hence it is known how long another takes
    assert said[1].startswith("job 2 of 6, seed=1, about ")
    assert said[-1].startswith("job 6 of 6, seed=6, about ")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in captured.out.splitlines() if "=" in line}
    assert rows["seed=0"] == "finished outputs/runs/zero"
    assert rows["seed=1"] == "skipped outputs/runs/one"
    assert rows["seed=2"].endswith("/2/error.txt the loss is not a number")
    assert rows["seed=3"].endswith("/3/error.txt KeyError: 'a bug'")
    assert rows["seed=4"] == "running elsewhere another process works on this run (me on here, process 7)"
    assert rows["seed=6"].endswith("/5/error.txt outputs/runs/six: No space left on device")
    assert "6 jobs: 1 finished, 1 skipped, 3 failed, 1 running elsewhere" in captured.out
    assert "3 of 6 jobs failed; the same command again runs only what is missing" in captured.err
    assert "Traceback" not in captured.err
    (log,) = Path("outputs/sweeps").glob("*/3/error.txt")
    assert "Traceback" in log.read_text()
    assert 'raising(KeyError("a bug"))' in log.read_text()


def test_jobs_that_run_elsewhere_are_no_failure_and_not_finished(ran, capsys):
    assert main(["train", "-m", "seed=0,4"]) == 4
    captured = capsys.readouterr()
    assert "2 jobs: 1 finished, 1 running elsewhere" in captured.out
    assert "1 of 2 jobs are another process's, not finished yet" in captured.err


def test_a_signal_stops_a_sweep_in_this_process(ran, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "-m", "seed=0,5,1"])
    assert stopped.value.code == 75
    assert ran == [0, 5]
    assert "stopped by SIGTERM" in capsys.readouterr().err


def test_a_mistake_in_any_job_is_found_before_the_first_starts(ran, capsys):
    assert main(["train", "-m", "seed=0", "optim.lr=0.1,-1"]) == 2
    assert ran == []
    assert "optim.lr=-1" in capsys.readouterr().err


def test_a_launcher_makes_a_sweep_without_m(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    several = {path.stem for path in (conf_dir() / "launch").glob("*.yaml") if "mode: MULTIRUN" in path.read_text()}
    assert {f"launch={name}" for name in several} < set(SWEEPS)
    # each of the paths is a job's, as with -m
    assert main(["margin", "hydra.mode=MULTIRUN", "run=no/seed=0,no/seed=1", "hydra.sweep.dir=here"]) == 3
    captured = capsys.readouterr()
    assert "job 2 of 2, run=no/seed=1\n" in captured.out
    assert "no/seed=0: no such folder" in captured.err
    assert main(["margin", "-m", "run=no/*", "hydra.sweep.dir=there"]) == 3
    assert "no such folder; run= takes no patterns, several runs are named with" in capsys.readouterr().err


def test_jobs_are_called_by_what_differs():
    assert labels([["a=1", "b=2", "c=3"], ["a=1", "b=4", "c=3"]]) == ["b=2", "b=4"]
    assert labels([["a=1", "b=2"]]) == ["a=1 b=2"]
    assert labels([["run=x/seed\\=0"], ["run=x/seed\\=1"]]) == ["run=x/seed=0", "run=x/seed=1"]
    # the same job twice
    assert labels([["run=x/seed\\=0", "a=1"]] * 2) == ["run=x/seed=0 a=1"] * 2


def test_a_damaged_outcome_is_none(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.end(0, Outcome("finished", "here"))
    assert sweep.outcome(0) == Outcome("finished", "here")
    for content in ("", "[]", '{"state": "finished", "odd": 1}'):
        (sweep.job(0) / "outcome.json").write_text(content)
        assert sweep.outcome(0) is None
    begun, never = sweep.outcomes(2)
    assert (begun.state, begun.reason[:16]) == ("failed", "its process died")
    assert never == Outcome("failed", "", "it never began")


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine of so many cores and GPUs."""

    def make(cores, *gpus):
        monkeypatch.setattr(workers, "num_cores", lambda: cores)
        monkeypatch.setattr(workers, "gpus", lambda: gpus)

    return make


def test_the_number_of_workers(machine):
    machine(8)
    assert [workers.num_workers(n) for n in (-1, -3, 5, -20)] == [8, 6, 5, 1]
    assert [workers.threads_each(n) for n in (8, 3, 20)] == [1, 2, 1]
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs=0"):
        workers.num_workers(0)
    machine(8, "0")
    assert workers.num_workers(-1) == 8
    machine(8, "0", "1", "2")
    assert workers.num_workers(-1) == workers.num_workers(-1, "cuda") == 3
    assert workers.num_workers(-1, "cpu") == 8
    assert workers.num_workers(6) == 6


def test_each_worker_has_a_gpu_of_its_own(machine, tmp_path, monkeypatch):
    machine(8, "2", "5")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    locks, seen = [], []
    for _ in range(3):
        # without the cache: as if in another process
        locks.append(workers.take_gpu.__wrapped__(tmp_path, 3))
        seen.append(workers.os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["2", "5", "2"]
    assert workers.take_gpu.__wrapped__(tmp_path, 3) is None
    locks[1].release()
    assert workers.take_gpu.__wrapped__(tmp_path, 3).lock_file == locks[1].lock_file
    machine(8, "0")
    assert workers.take_gpu.__wrapped__(tmp_path / "one", 3) is None


def test_gpus_are_those_that_may_be_used(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workers.gpus.__wrapped__() == ()
    query = tmp_path / "nvidia-smi"
    query.write_text("#!/bin/sh\necho 0\necho 1\n")
    query.chmod(0o755)
    assert workers.gpus.__wrapped__() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f6b")
    assert workers.gpus.__wrapped__() == ("3", "GPU-8f6b")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert workers.gpus.__wrapped__() == ()


def test_a_share_leaves_what_the_user_said(machine, tmp_path):
    from omegaconf import OmegaConf

    machine(8)
    hydra_config = OmegaConf.create({"launcher": {"n_jobs": 2}, "sweep": {"dir": str(tmp_path)}})
    for given, threads in ((None, 4), (3, 3)):
        config = OmegaConf.create({"threads": given, "device": "cpu"})
        workers.take_share(config, hydra_config)
        assert config.threads == threads


def test_a_worker_that_dies_leaves_the_jobs_that_had_not_begun(tmp_path):
    from hydra_plugins.bdry_sweeps.joblib_launcher import JoblibLauncher

    sweep, launches = Sweep(tmp_path), []

    class Dying:
        def launch(self, job_overrides, initial_job_idx):
            launches.append((initial_job_idx, job_overrides))
            if len(launches) == 1:
                for number in (3, 4):
                    sweep.job(number).mkdir(exist_ok=True)
                raise BrokenExecutor
            return ["returned"]

    launcher = JoblibLauncher(n_jobs=2)
    launcher.stock, launcher.folder = Dying(), tmp_path
    jobs = [["seed=0"], ["seed=1"], ["seed=2"], ["seed=3"]]
    assert launcher.launch(jobs, 3) == ["returned"]
    assert launches == [(3, jobs), (5, jobs[2:])]
    launches.clear()
    # nothing had begun: no worker can start at all
    launcher.folder = tmp_path / "other"
    with pytest.raises(BrokenExecutor):
        launcher.launch(jobs, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="the made sbatch is a POSIX script")
def test_what_sbatch_refuses_is_a_line(ran, tmp_path, monkeypatch, capsys):
    for name in ("sbatch", "srun"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "#!/bin/sh\n"
            "echo 'sbatch: error: invalid partition specified: gpuu' >&2\n"
            "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2\n"
            "exit 1\n"
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert main(["train", "-m", "launch=slurm", "hydra.launcher.partition=gpuu", "seed=0,1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "bdry: launch=slurm: no job taken, sbatch: error: Batch job submission failed: Invalid partition name specified"
        " (hydra.launcher.* is what sbatch gets)"
    )
    assert ran == []


def test_waiting_for_slurm_ends_with_the_last_job(tmp_path, monkeypatch):
    from hydra_plugins.bdry_sweeps import slurm_launcher

    sweep = Sweep(tmp_path)
    jobs = {
        n: SimpleNamespace(job_id=f"9_{n}", paths=SimpleNamespace(stderr=tmp_path / f"9_{n}.err")) for n in range(3)
    }
    # None: SLURM does not answer. Job 1 is seen again after having been missed, job 2 is gone for good.
    looks = iter([{"9_0", "9_1", "9_2"}, None, {"9_0"}, None, {"9_1"}, None, {"9_1"}, {"9_1"}])

    def queued():
        found = next(looks)
        if found == {"9_0"}:
            sweep.end(0, Outcome("finished"))
        return found

    def fate(job_id):
        sweep.end(1, Outcome("finished"))
        return f"{job_id}: cancelled"

    monkeypatch.setattr(slurm_launcher, "POLL_S", 0)
    monkeypatch.setattr(slurm_launcher, "_queued", queued)
    monkeypatch.setattr(slurm_launcher, "_fate", fate)
    launcher = slurm_launcher.SlurmLauncher()
    launcher.folder = tmp_path
    launcher._wait(jobs)
    assert [json.loads((sweep.job(n) / "outcome.json").read_text())["state"] for n in range(3)] == [
        "finished",
        "finished",
        "failed",
    ]
    assert sweep.outcome(2) == Outcome("failed", str(tmp_path / "9_2.err"), "9_2: cancelled")


def test_a_full_disk_under_the_sweeps_own_file_names_its_folder(ran, monkeypatch, capsys):
    def full(config, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OmegaConf, "save", full)
    assert main(["train", "-m", "seed=0,1"]) == 1
    assert ran == []
    line = capsys.readouterr().err
    assert line.startswith("bdry: outputs/sweeps/")
    assert line.endswith("No space left on device\n")
