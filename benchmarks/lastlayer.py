"""Speed of the K-class hard-margin SVM beside scikit-learn and cvxpy: `python benchmarks/lastlayer.py [--quick]`.

Synthetic ReLU features of ten classes at three separations (docs/papers/li2018.md,
Benchmark features): our default with its
certificate, and to a gap of 1e-3, against scikit-learn's one-vs-rest default, in one process on the same arrays; cvxpy
on a size that it can do; and the steps that the accelerated method takes to 1 degree from the SVM. Each time is of one
run.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

import bdry
from bdry.lastlayer import LastLayer, angle_degrees, continue_last_layer, hard_margin_svm
from bdry.lastlayer.layer import pair_margins

SEPARATIONS = {"easy": 0.8, "medium": 0.35, "hard": 0.15}
CLASSES, FACTORS = 10, 64


def synthetic(n: int, d: int, separation: float) -> tuple[Tensor, Tensor]:
    """(n, d) features and (n,) labels, seed 0, drawn in the order of docs/papers/li2018.md."""
    draw = np.random.default_rng(0)
    means = draw.standard_normal((CLASSES, d)) * separation
    factors = draw.standard_normal((FACTORS, d)) * 4 / np.sqrt(d)
    labels = draw.integers(0, CLASSES, n)
    x = means[labels] + 0.5 * draw.standard_normal((n, FACTORS)) @ factors + 0.5 * draw.standard_normal((n, d))
    return torch.from_numpy(np.maximum(x, 0)), torch.from_numpy(labels)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of CPU, and the result."""
    clock, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - clock, time.process_time() - cpu, result


def one_vs_rest(x: Tensor, y: Tensor) -> LastLayer:
    """scikit-learn's LinearSVC as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine = LinearSVC().fit(x.numpy(), y.numpy())
    return LastLayer(torch.from_numpy(machine.coef_), torch.from_numpy(machine.intercept_)).centred()


def by_cvxpy(x: Tensor, y: Tensor) -> LastLayer:
    """All pairs handed to cvxpy with its default solver for the problem."""
    import cvxpy

    w, b = cvxpy.Variable((CLASSES, x.shape[1])), cvxpy.Variable((1, CLASSES))
    logits = x.numpy() @ w.T + np.ones((len(x), 1)) @ b
    own = cvxpy.sum(cvxpy.multiply(logits, np.eye(CLASSES)[y.numpy()]), axis=1)
    constraints = [
        own[rows] - logits[rows, k] >= 1 for k in range(CLASSES) for rows in [np.flatnonzero(y.numpy() != k)]
    ]
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(w) + cvxpy.sum_squares(b)), constraints).solve()
    return LastLayer(torch.from_numpy(w.value), torch.from_numpy(b.value[0])).centred()


def solvers_table(sizes: tuple[int, int]) -> str:
    n, d = sizes
    lines = [
        f"### {n} x {d} x {CLASSES}: one SVM",
        "",
        "| separation | row | s | CPU s | gap | support vectors (pairs) | accuracy | margin / best | angle to ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, separation in SEPARATIONS.items():
        x, y = synthetic(n, d, separation)
        found: list[tuple[str, float, float, str, str, LastLayer]] = []
        for row, options in (("ours, gap 1e-3", {"gap": 1e-3}), ("ours", {})):
            clock, cpu, ours = timed(lambda x=x, y=y, options=options: hard_margin_svm(x, y, **options))
            counts = f"{len(ours.support_vectors)} ({len(ours.pairs)})"
            found.append((row, clock, cpu, f"{ours.gap:.1e}", counts, ours.layer))
        clock, cpu, theirs = timed(lambda x=x, y=y: one_vs_rest(x, y))
        found.append(("LinearSVC()", clock, cpu, "none", "", theirs))
        best = ours.layer.joint()
        for row, clock, cpu, gap, counts, layer in found:
            logits = layer.logits(x)
            accuracy = float((logits.argmax(1) == y).double().mean())
            share = float(pair_margins(logits, y).min()) / float(layer.joint().norm()) * float(best.norm())
            angle = angle_degrees(layer.joint(), best)
            taken, quality = f"{clock:.1f} | {cpu:.1f} | {gap}", f"{accuracy:.3f} | {share:.4f} | {angle:.2f}°"
            lines.append(f"| {name} | {row} | {taken} | {counts} | {quality} |")
    return "\n".join(lines) + "\n"


def cvxpy_table(sizes: tuple[int, int]) -> str:
    n, d = sizes
    x, y = synthetic(n, d, 1.5)
    clock, _, ours = timed(lambda: hard_margin_svm(x, y))
    lines = [
        f"### {n} x {d} x {CLASSES}: the full problem in cvxpy",
        "",
        "| row | s | angle to ours |",
        "|---|---|---|",
    ]
    lines.append(f"| ours, gap {ours.gap:.1e} | {clock:.2f} | |")
    try:
        clock, _, theirs = timed(lambda: by_cvxpy(x, y))
        lines.append(f"| cvxpy | {clock:.2f} | {angle_degrees(theirs.joint(), ours.layer.joint()):.4f}° |")
    # a peer that is not there, or that fails, is a row as well
    except Exception as error:
        lines.append(f"| cvxpy | not run: {type(error).__name__}: {str(error).splitlines()[0]} | |")
    return "\n".join(lines) + "\n"


def accelerated_table(sizes: tuple[int, int], steps: int) -> str:
    n, d = sizes
    lines = [
        f"### {n} x {d} x {CLASSES}: the accelerated method from zero weights",
        "",
        "| steps to 1° | s | angle there |",
        "|---|---|---|",
    ]
    x, y = synthetic(n, d, SEPARATIONS["easy"])
    best = hard_margin_svm(x, y)
    zero = LastLayer(torch.zeros(CLASSES, d, dtype=torch.float64), torch.zeros(CLASSES, dtype=torch.float64))
    clock, _, points = timed(
        lambda: list(continue_last_layer(x, y, zero, "accelerated", steps=steps, target=best.layer))
    )
    reached = str(points[-1].step) if points[-1].angle < 1 else f"more than {steps}"
    lines.append(f"| {reached} | {clock:.1f} | {points[-1].angle:.2f}° |")
    return "\n".join(lines) + "\n"


def header() -> str:
    """Machine, threads and versions, in one line."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if "model name" in x), cpu)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "scikit-learn", "clarabel"))
    return f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {versions}, bdry {bdry.__version__}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(header(), flush=True)
    print(solvers_table((6000, 512) if options.quick else (60000, 512)), flush=True)
    print(cvxpy_table((500, 30) if options.quick else (2000, 60)), flush=True)
    print(accelerated_table((3000, 128) if options.quick else (6000, 128), 3000))


if __name__ == "__main__":
    main()
