"""Six small trainings, one after the other in one process and by launch=joblib's workers: wall seconds of each command.

    python benchmarks/sweeps.py

Each command is run once, in a folder of its own; starting Python, and the workers, counts.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time

import torch

from bdry.session.cores import num_cores

SEEDS = "seed=0,1,2,3,4,5"
SWEEP = ["train", "-m", SEEDS, "dataset=digits", "probe=[]", "training.epochs=40", "device=cpu"]
LAUNCHERS = ("local", "joblib")


def seconds(launcher: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "bdry", *SWEEP, f"launch={launcher}", f"outputs={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


def main() -> None:
    taken = {launcher: seconds(launcher) for launcher in LAUNCHERS}
    print(
        f"{platform.machine()}, {num_cores()} cores, torch {torch.__version__}; bdry {' '.join(SWEEP)}; one run each\n"
    )
    print("| launch | workers x threads | wall seconds | against the first |")
    print("|---|---|---|---|")
    shares = {"local": f"1 x {num_cores()}", "joblib": f"{num_cores()} x 1"}
    for launcher, wall in taken.items():
        print(f"| {launcher} | {shares[launcher]} | {wall:.1f} | {wall / taken['local']:.2f} |")


if __name__ == "__main__":
    main()
