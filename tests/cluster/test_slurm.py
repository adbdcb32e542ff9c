"""launch=slurm on a real SLURM of one node, which the tests bring up: a cancelled, a requeued and a preempted job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm_node.sh"
NEEDED = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "munged", "runuser")
SEEDS = range(4)
# long enough, some twenty seconds, to be disturbed while it trains
WORDS = [
    "train",
    "-m",
    f"seed={','.join(map(str, SEEDS))}",
    "dataset.num_train=60",
    "dataset.num_test=40",
    "training.epochs=600",
    "training.batch_size=20",
    "training.checkpoint_minutes=0.005",
    "arch.widths=[16]",
    "probe.margin.num_train=10",
    "probe.margin.num_test=10",
    "moments.steps=[0]",
    "moments.epochs=[100,600]",
    "evaluation.robust_images=4",
    "evaluation.steps=3",
    "threads=1",
    "device=cpu",
]
BY_SLURM = ["launch=slurm", "hydra.launcher.timeout_min=30"]


@pytest.fixture(scope="session")
def slurm():
    """The environment in which SLURM's commands talk to a node of our own."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in NEEDED if shutil.which(name, path=path) is None]:
        pytest.skip(f"SLURM is not installed ({', '.join(missing)}); make test-all installs it, as root on Debian")
    if os.geteuid() != 0:
        pytest.skip("bringing up SLURM's daemons needs root")
    # not pytest's own folder, which the user munge could not enter
    folder = tempfile.mkdtemp(prefix="bdry-slurm-")
    environment = {**os.environ, "PATH": path, "SLURM_CONF": f"{folder}/slurm.conf"}
    try:
        subprocess.run([SCRIPT, "up", folder], env=environment, check=True, timeout=120)
        yield environment
    finally:
        subprocess.run([SCRIPT, "down", folder], env=environment, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A sweep in a folder, and SLURM's commands on its jobs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def bdry(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "bdry", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def submit(self):
        """The launching process, and the id of the array that it has submitted."""
        process = self.bdry(*WORDS, *BY_SLURM)
        for line in process.stdout:
            if "submitted to SLURM" in line:
                return process, line.split("SLURM, ")[1].split("_")[0]
        raise AssertionError(f"nothing was submitted, exit {process.wait()}")

    def ask(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def state(self, job):
        answer = self.ask("scontrol", "--oneliner", "show", "job", job).stdout
        return dict(word.split("=", 1) for word in answer.split() if "=" in word).get("JobState", "")

    def run(self, seed):
        """The folder of a seed's run, once it has one."""
        return next(iter(self.folder.glob(f"outputs/runs/*/seed={seed}")), None)

    def has_trained(self, seed):
        run = self.run(seed)
        return run is not None and (run / "checkpoints" / "last.safetensors").exists()

    def release(self, job):
        """Lets a requeued job start now, which SLURM would hold for two minutes."""
        wait(lambda: self.state(job) == "PENDING", f"job {job} is queued again")
        self.ask("scontrol", "update", f"jobid={job}", "StartTime=now")

    def starts(self, seed):
        return json.loads((self.run(seed) / "provenance.json").read_text())

    def tables(self):
        paths = [path for path in sorted(self.folder.rglob("tables/*.csv")) if path.stem != "timings"]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


def wait(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.1)


def row(output, seed):
    (line,) = [line for line in output.splitlines() if line.startswith(f"seed={seed} ")]
    return " ".join(line.split())


def test_a_sweep_disturbed_in_every_way_ends_as_an_undisturbed_one(slurm, tmp_path):
    undisturbed, disturbed = (Cluster(tmp_path / name, slurm) for name in ("undisturbed", "disturbed"))
    undisturbed.folder.mkdir()
    disturbed.folder.mkdir()
    reference = undisturbed.bdry(*WORDS, "launch=joblib")

    launcher, array = disturbed.submit()
    # two run at a time, each with one core of two: 0 is sent back to the queue, 1 is cancelled
    wait(lambda: disturbed.has_trained(0), "job 0 trains")
    assert disturbed.ask("scontrol", "requeue", f"{array}_0").returncode == 0
    wait(lambda: disturbed.has_trained(1), "job 1 trains")
    assert disturbed.ask("scancel", f"{array}_1").returncode == 0
    disturbed.release(f"{array}_0")
    # what submitit has SLURM send before the time is up, and what preemption sends
    wait(lambda: disturbed.has_trained(2), "job 2 trains")
    assert disturbed.ask("scancel", "--signal=USR2", f"{array}_2").returncode == 0
    disturbed.release(f"{array}_2")

    output, _ = launcher.communicate(timeout=600)
    print(output)
    assert launcher.returncode == 3
    assert row(output, 1).startswith("seed=1 failed ")
    assert row(output, 1).endswith(f"SLURM job {array}_1: cancelled")
    assert f"{array}_1_0_log.err" in row(output, 1)
    assert "4 jobs: 3 finished, 1 failed" in output
    for seed in (0, 2):
        starts = disturbed.starts(seed)
        assert len(starts) == 2
        assert starts[1]["from_step"] > 0

    assert "4 jobs: 4 finished" in reference.communicate(timeout=600)[0]
    assert disturbed.tables() != undisturbed.tables()

    # the same command again runs what is missing, and needs nobody to wait for it
    launcher, array = disturbed.submit()
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    status = disturbed.run(1) / "status.json"
    wait(lambda: json.loads(status.read_text())["state"] == "finished", "job 1 has finished")
    wait(lambda: all(disturbed.state(f"{array}_{seed}") == "COMPLETED" for seed in SEEDS), "the array has ended")
    assert disturbed.tables() == undisturbed.tables()
    assert [len(disturbed.starts(seed)) for seed in SEEDS] == [2, 2, 2, 1]


def test_a_sweep_of_nothing_but_finished_and_failing_jobs(slurm, tmp_path):
    cluster = Cluster(tmp_path, slurm)
    words = [word for word in WORDS if not word.startswith(("seed=", "training.epochs", "moments"))]
    process = cluster.bdry(*words, *BY_SLURM, "training.epochs=1", "optim=sgd", "optim.lr=0.01,1e30")
    output, _ = process.communicate(timeout=300)
    print(output)
    assert process.returncode == 3
    assert "2 jobs: 1 finished, 1 failed" in output
    (log,) = tmp_path.glob("outputs/sweeps/*/1/error.txt")
    assert str(log.relative_to(tmp_path)) in output
    assert "lower optim.lr" in output
    assert "TrainingError" in log.read_text()
