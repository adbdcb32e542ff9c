"""Speed and tightness of our margin estimators beside other libraries': `python benchmarks/margins.py [--quick]`.

Two nets are trained on Fashion-MNIST (once, kept below benchmarks/.cache/), and every estimator works on the same
correctly classified test images inside the [0, 1] box. The peers run in an environment of their own, made on first use.
Whatever a row claims is evaluated here again: the label must differ, the point must lie in the box, and its distance is
recomputed. A row's ratio is its mean of margin / best known, the best known being the smallest valid margin of all
rows. The floor is the bare net: `overhead` is a row's time over that of its passes alone.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nets import NETS, PARAMETERS, Counted, chunks, load
from safetensors.torch import save_file
from torch import Tensor, nn

import bdry
from bdry.core.measuring import measuring
from bdry.core.norms import per_sample
from bdry.core.seeds import generator, seeded_globally
from bdry.core.segments import first_crossing, gap
from bdry.data import DATASETS, Split
from bdry.errors import BdryError
from bdry.margins import ESTIMATORS
from bdry.training import OPTIMISERS, Plan, State, fit, learning_rate

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
REQUIREMENTS, CONSTRAINTS = HERE / "peers.txt", HERE.parent / "constraints.txt"
BATCHES = (64, 128, 256, 512)
WARM_UP = 32
# a row whose first run takes longer, in seconds, is not repeated
SLOW = 30.0
REFERENCE = "foolbox DeepFool"


@dataclass(frozen=True)
class Ours:
    """One of our rows: an estimator of `bdry.margins.ESTIMATORS` and its settings."""

    name: str
    estimator: str
    settings: dict[str, Any] = field(default_factory=dict)
    norms: tuple[str, ...] = ("l2", "linf")


OURS = [
    Ours("DeepFool", "deepfool"),
    Ours("DeepFool, all classes", "deepfool", {"candidates": None}),
    Ours("walk, 6 steps", "walk", {"steps": 6}),
    Ours("walk, 9 steps", "walk", {"steps": 9}),
    Ours("walk, 24 steps", "walk", {"steps": 24}),
    Ours("walk, 100 steps", "walk", {"steps": 100}),
    Ours("DDN", "ddn", norms=("l2",)),
    Ours("FMN", "fmn"),
    Ours("FAB", "fab"),
    Ours("APGD", "apgd"),
]


@dataclass
class Row:
    """What a row left: `points` for the first `len(points)` images, seconds and passes of one run on them."""

    name: str
    reason: str = ""
    points: Tensor | None = None
    runs: int = 0
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    note: str = ""
    # filled by `judge`: (N,), nan where the row has no valid point
    margin: Tensor | None = None
    bisected: Tensor | None = None


@dataclass(frozen=True)
class Floor:
    """The bare net at its best batch size: seconds an image of a forward and of a backward pass."""

    batch: int
    forward: float
    backward: float


@dataclass(frozen=True)
class Trial:
    """What all rows of one table share."""

    name: str
    net: nn.Module
    weights: Path
    norm: str
    x: Tensor
    labels: Tensor
    floor: Floor
    repeats: int
    quick: bool

    def path(self) -> Path:
        """The folder through which images and end points pass between us and the peers."""
        return CACHE / "peers" / f"{self.name}-{self.norm}-{len(self.x)}"


# ---- nets and images


def trained(name: str, train: Split, mean: float, std: float) -> Path:
    """The weights of the net, trained where there are none yet; the seed is fixed."""
    path = CACHE / f"{name}.safetensors"
    with seeded_globally(0):
        net = NETS[name](mean, std)
    count = sum(parameter.numel() for parameter in net.parameters())
    if count != PARAMETERS[name]:
        raise SystemExit(f"{name} has {count} parameters instead of {PARAMETERS[name]}")
    if not path.exists():
        say(f"training {name}, {count} parameters")
        rate = partial(learning_rate, "onecycle", 2e-3, milestones=[], gamma=0.1, warmup=0.3)
        plan = Plan(
            epochs=5,
            batch_size=128,
            learning_rate=rate,
            label_smoothing=0.0,
            crop_padding=0,
            flip=False,
            adversary=None,
            precision="fp32",
            seed=0,
            data_seed=0,
        )
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        fit(
            net,
            train,
            OPTIMISERS["adam"](net.parameters(), lr=2e-3, weight_decay=0.0, betas=[0.9, 0.999]),
            plan,
            State(),
            moments=frozenset(),
            measure=nothing,
            save=nothing,
            save_is_due=lambda: False,
            advance=nothing,
        )
        # under another name first: an interrupted save leaves no half file in its place
        partly = path.with_suffix(".partly")
        save_file(net.state_dict(), partly)
        partly.replace(path)
    return path


@torch.no_grad()
def predictions(net: nn.Module, test: Split) -> Tensor:
    return torch.cat([net(batch.pixels()).argmax(1) for batch in test.batches(500)])


# ---- timing


def repeated(work: Callable[[], Any], repeats: int) -> tuple[list[float], Any]:
    """Seconds of each run, and what the last one returned; a slow one is run once."""
    taken: list[float] = []
    result = None
    while len(taken) < repeats and (not taken or taken[0] < SLOW):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return taken, result


def floor_of(net: nn.Module, x: Tensor) -> Floor:
    """Forward and backward passes of the bare net timed apart, at the batch size with the best sum of the two."""
    best = Floor(0, torch.inf, torch.inf)
    for batch in [size for size in BATCHES if size <= len(x)] or [len(x)]:
        passes = [_forward_backward(net, x, batch) for _ in range(4)][1:]
        forward, backward = (statistics.median(column) for column in zip(*passes, strict=True))
        if forward + backward < best.forward + best.backward:
            best = Floor(batch, forward, backward)
    return best


def _forward_backward(net: nn.Module, x: Tensor, batch: int) -> tuple[float, float]:
    """Seconds an image of the forward and of the backward part."""
    forward = backward = 0.0
    for part in chunks(len(x), batch):
        z = x[part].clone().requires_grad_(True)
        start = time.perf_counter()
        logits = net(z)
        middle = time.perf_counter()
        torch.autograd.grad(logits[:, 0].sum(), z)
        forward += middle - start
        backward += time.perf_counter() - middle
    return forward / len(x), backward / len(x)


# ---- our rows


def run_ours(row: Ours, trial: Trial) -> Row:
    """An estimator of bdry, box-constrained, in this process."""
    try:
        estimator = ESTIMATORS[row.estimator]
        ESTIMATORS.check_options(row.estimator, row.settings)
    except BdryError as error:
        return Row(row.name, str(error).split(" (choices")[0])
    keywords = {"norm": trial.norm, "clipped": True, **row.settings}
    if "generator" in inspect.signature(estimator).parameters:
        keywords["generator"] = generator(0, "bench")
    net = Counted(trial.net)

    def work() -> tuple[Tensor, int, int]:
        net.reset()
        results = [estimator(net, trial.x[part], **keywords) for part in chunks(len(trial.x), trial.floor.batch)]
        points = torch.cat([result.point for result in results])
        claimed = [int(sum(getattr(result, kind).sum() for result in results)) for kind in ("forwards", "backwards")]
        return points, claimed[0], claimed[1]

    try:
        with measuring(net):
            estimator(net, trial.x[:WARM_UP], **keywords)
            taken, (points, forwards, backwards) = repeated(work, trial.repeats)
    # an estimator that is not finished yet is a row as well
    except Exception as error:
        return Row(row.name, _reason(error))
    note = ""
    if abs(forwards - net.forwards) + abs(backwards - net.backwards) > 0.01 * (net.forwards + net.backwards):
        n = len(trial.x)
        note = f"{row.name} reports {forwards / n:.1f} + {backwards / n:.1f} passes an image, not the number counted."
    return Row(
        row.name, "", points.detach(), len(taken), statistics.median(taken), net.forwards, net.backwards, note=note
    )


def run_textbook(trial: Trial) -> Row:
    """The paper's DeepFool over a whole batch, as row of its own."""
    net = Counted(trial.net)

    def work() -> Tensor:
        net.reset()
        return torch.cat([textbook(net, trial.x[part], trial.norm) for part in chunks(len(trial.x), trial.floor.batch)])

    textbook(net, trial.x[:WARM_UP], trial.norm)
    taken, points = repeated(work, trial.repeats)
    return Row(
        "textbook DeepFool, batched", "", points, len(taken), statistics.median(taken), net.forwards, net.backwards
    )


def textbook(net: nn.Module, x: Tensor, norm: str, steps: int = 50, overshoot: float = 0.02) -> Tensor:
    """DeepFool from its paper (arXiv 1511.04599) as written by hand: all classes, finished images stay in the batch.

    A stand-in for adv-lib's, which differs in dropping them.
    """
    with torch.no_grad():
        start = net(x).argmax(1)
    r, end = torch.zeros_like(x), x.clone()
    rows = torch.arange(len(x))
    for _ in range(steps):
        z = end.clone().requires_grad_(True)
        logits = net(z)
        going = logits.argmax(1) == start
        if not bool(going.any()):
            break
        differences = logits - logits.gather(1, start[:, None])
        classes = range(logits.shape[1])
        gradients = torch.stack(
            [torch.autograd.grad(differences[:, k].sum(), z, retain_graph=k < len(classes) - 1)[0] for k in classes], 1
        )
        flat = gradients.flatten(2)
        dual = flat.norm(dim=2) if norm == "l2" else flat.abs().sum(2)
        distance = (differences.detach().abs() / dual).scatter(1, start[:, None], torch.inf).nan_to_num(torch.inf)
        length, nearest = distance.min(1)
        gradient = gradients[rows, nearest]
        direction = gradient / per_sample(dual[rows, nearest], x) if norm == "l2" else gradient.sign()
        # 1e-4 as in the authors' code: steps that shrink to rounding would never get across
        length = torch.where(going & length.isfinite(), length + 1e-4, 0.0)
        step = per_sample(length, x) * direction.nan_to_num(0.0)
        r = r + step
        end = torch.where(per_sample(going, x), (x + (1 + overshoot) * r).clamp(0, 1), end)
    return end.detach()


# ---- the peers


def peers_environment() -> tuple[Path | None, str]:
    """The Python that the peers run under, made on first use, and what went wrong with it."""
    home = CACHE / "peers-env"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = home / "installed.json", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and json.loads(stamp.read_text())["requirements"] == wanted:
        return python, ""
    say("installing the peers into benchmarks/.cache/peers-env")
    venv.create(home, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    problem = ""
    if subprocess.run([*pip, "-r", str(REQUIREMENTS)], capture_output=True, check=False).returncode:
        # together they cannot be had: each alone, and those that can be had are compared
        lines = [line.strip() for line in REQUIREMENTS.read_text().splitlines()]
        failed = []
        for line in lines:
            if line and not line.startswith("#"):
                done = subprocess.run([*pip, line], capture_output=True, check=False, text=True)
                if done.returncode:
                    failed.append(f"{line} ({(done.stderr.strip().splitlines() or ['pip failed'])[-1]})")
        problem = "not installed: " + "; ".join(failed) if failed else ""
    # what failed is tried again next time
    if not problem:
        stamp.write_text(json.dumps({"requirements": wanted}))
    return python, problem


def run_peers(python: Path, trial: Trial, reuse: bool) -> tuple[list[Row], dict[str, str]]:
    """The peers' rows and the versions of their packages. `reuse`: of an earlier run on the same images, if any."""
    folder = trial.path()
    folder.mkdir(parents=True, exist_ok=True)
    handed = {
        "net": trial.name,
        "weights": str(trial.weights.resolve()),
        "digest": hashlib.sha256(trial.weights.read_bytes() + trial.x.numpy().tobytes()).hexdigest(),
        "norm": trial.norm,
        "batch": trial.floor.batch,
        "threads": torch.get_num_threads(),
        "repeats": trial.repeats,
        "slow": SLOW,
        "quick": trial.quick,
    }
    job, results = folder / "job.json", folder / "results.json"
    reason = "peers.py left no result"
    if not (reuse and results.exists() and json.loads(job.read_text())["digest"] == handed["digest"]):
        results.unlink(missing_ok=True)
        job.write_text(json.dumps(handed, indent=1))
        np.savez(folder / "images.npz", images=trial.x.numpy(), labels=trial.labels.numpy())
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        say("the peers")
        done = subprocess.run(
            [str(python), str(HERE / "peers.py"), str(folder)],
            check=False,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if done.returncode:
            reason = f"peers.py ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
            say(reason)
    if not results.exists():
        return [Row("the peers", reason)], {}
    found = json.loads(results.read_text())
    rows = []
    for number, entry in enumerate(found["rows"]):
        images = entry.pop("images")
        row = Row(**entry)
        if not row.reason:
            with np.load(folder / f"{number}.npz") as arrays:
                row.points = torch.from_numpy(arrays["points"]).reshape(images, *trial.x.shape[1:])
        rows.append(row)
    return rows, found["versions"]


# ---- what the rows are worth


@torch.no_grad()
def judge(row: Row, trial: Trial) -> None:
    """Fills the row's margins as its users get them and after our bisection; nan where the point is not valid."""
    assert row.points is not None
    x, labels, points = trial.x[: len(row.points)], trial.labels[: len(row.points)], row.points
    row.margin = _valid_distance(trial, x, points, labels)
    row.bisected = row.margin.clone()
    rows = row.margin.isfinite().nonzero()[:, 0]
    for part in chunks(len(rows), trial.floor.batch):
        chosen = rows[part]
        here, end, label = x[chosen], points[chosen], labels[chosen]
        gap_here, gap_end = gap(trial.net(here), label), gap(trial.net(end), label)
        t, _, _ = first_crossing(trial.net, here, end - here, label, gap_at_x=gap_here, gap_at_end=gap_end)
        distance = _valid_distance(trial, here, here + per_sample(t, here) * (end - here), label)
        # rounding may take the label back so near to the boundary: the point itself stands then
        row.bisected[chosen] = torch.fmin(distance, row.margin[chosen])


def _valid_distance(trial: Trial, x: Tensor, points: Tensor, labels: Tensor) -> Tensor:
    """Distances in float64; nan where the label does not differ or the point is outside the box beyond rounding."""
    found = torch.cat([trial.net(points[part]).argmax(1) for part in chunks(len(x), trial.floor.batch)])
    flat = points.flatten(1)
    valid = flat.isfinite().all(1) & (found != labels) & (flat.amin(1) >= -1e-6) & (flat.amax(1) <= 1 + 1e-6)
    order = 2.0 if trial.norm == "l2" else torch.inf
    distance = (flat.double() - x.flatten(1).double()).norm(order, dim=1)
    return torch.where(valid, distance, torch.nan)


def table(trial: Trial, rows: list[Row]) -> str:
    """The markdown table of one net and norm, with the remarks that its rows need."""
    n = len(trial.x)
    best = torch.full((n,), torch.inf, dtype=torch.float64)
    for row in rows:
        if not row.reason:
            judge(row, trial)
            assert row.points is not None and row.margin is not None and row.bisected is not None
            size = len(row.points)
            best[:size] = torch.fmin(best[:size], torch.fmin(row.margin, row.bisected).nan_to_num(torch.inf))
    reference = next((row.seconds / n for row in rows if row.name == REFERENCE and not row.reason), torch.nan)
    floor = trial.floor
    known = best[best.isfinite()]
    lines = [
        f"### {trial.name.upper()}, {trial.norm}",
        "",
        f"{n} images; floor at batch {floor.batch}: {1 / floor.forward:.0f} forwards/s, "
        f"{1 / floor.backward:.0f} backwards/s, {1 / (floor.forward + floor.backward):.0f} of both/s; "
        f"mean best known {float(known.mean()):.4f}",
        "",
        "| row | s | images/s | passes (f + b) | success | ratio | ratio, bisected | speed vs foolbox | overhead |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    remarks: dict[str, str] = {}
    for row in rows:
        if row.reason:
            lines.append(f"| {row.name} | not run: {row.reason} " + "| " * 7 + "|")
            continue
        assert row.points is not None and row.margin is not None and row.bisected is not None
        size = len(row.points)
        each = row.seconds / size
        passes = row.forwards / size * floor.forward + row.backwards / size * floor.backward
        valid = row.margin.isfinite()
        ratios = [float((found[valid] / best[:size][valid]).mean()) for found in (row.margin, row.bisected)]
        slow, part = 0 < row.runs < trial.repeats, size < n
        marks = ("¹" if slow else "") + ("²" if part else "")
        if slow:
            remarks["¹"] = f"¹ one run, since it took longer than {SLOW:.0f} s."
        if part:
            remarks[row.name] = f"² {row.name} on the first {size} images, its seconds scaled up."
        if row.note:
            remarks[row.name] = row.note
        lines.append(
            f"| {row.name} | {each * n:.2f}{marks} | {1 / each:.0f} "
            f"| {row.forwards / size:.1f} + {row.backwards / size:.1f} "
            f"| {float(valid.double().mean()):.3f} | {ratios[0]:.3f} | {ratios[1]:.3f} "
            f"| {reference / each:.2f} | {each / passes:.2f} |"
        )
    if remarks:
        lines += ["", "  \n".join(remarks.values())]
    return "\n".join(lines) + "\n"


# ---- the command


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def header(options: argparse.Namespace, versions: dict[str, str]) -> str:
    """Machine, threads and versions, in one paragraph."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = f"{models[0] if models else cpu}, {os.cpu_count()} cores"
    theirs = ("times of an earlier run, " if options.reuse_peers else "") + ", ".join(
        f"{name} {version}" for name, version in versions.items()
    )
    repeats = "one run" if options.quick else "median of 3"
    return (
        f"{cpu}, {torch.get_num_threads()} threads, Python {platform.python_version()}, torch {torch.__version__}, "
        f"bdry {bdry.__version__}; peers: {theirs or 'none'}. Correctly classified Fashion-MNIST test images, inside "
        f"the [0, 1] box; {repeats} after a warm-up; parameters frozen and passes counted in the net for every row. "
        f"Ratio: mean over the images found of margin / best known (the smallest valid one of all rows). Overhead: "
        f"time / time of the passes alone.\n"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="64 images, one run, fewer peers")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--norms", nargs="+", choices=["l2", "linf"], default=["l2", "linf"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true", help="our rows alone")
    parser.add_argument("--reuse-peers", action="store_true", help="the peers' rows of the last run on these images")
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    CACHE.mkdir(exist_ok=True)
    root = os.environ.get("BDRY_DATA", "~/.cache/bdry")
    try:
        dataset = DATASETS["fashion_mnist"](root=root, download=False)
    except BdryError as error:
        raise SystemExit(f"the benchmark needs Fashion-MNIST in $BDRY_DATA or ~/.cache/bdry: {error}") from None
    (mean,), (std,) = dataset.normalisation()
    size = 64 if options.quick else 512
    python, problem = (None, "") if options.no_peers else peers_environment()
    if problem:
        say(problem)
    versions: dict[str, str] = {}
    tables: list[str] = []
    target = CACHE / ("margins-quick.md" if options.quick else "margins.md")
    for name in options.nets:
        weights = trained(name, dataset.train, mean, std)
        net = load(name, weights)
        right = predictions(net, dataset.test) == dataset.test.labels
        chosen = dataset.test[right.nonzero()[:size, 0]]
        say(f"{name}: test accuracy {float(right.double().mean()):.4f}")
        x = chosen.pixels()
        floor = floor_of(net, x)
        for norm in options.norms:
            trial = Trial(name, net, weights, norm, x, chosen.labels, floor, 1 if options.quick else 3, options.quick)
            say(f"{name}, {norm}")
            rows = []
            for ours in OURS:
                if norm in ours.norms:
                    rows.append(run_ours(ours, trial))
                    say(f"  {ours.name}: {rows[-1].reason or f'{rows[-1].seconds:.2f} s'}")
            rows.append(run_textbook(trial))
            if python is not None:
                theirs, versions = run_peers(python, trial, options.reuse_peers)
                rows += theirs
            tables.append(table(trial, rows))
            print(tables[-1], flush=True)
            # after every table: an interrupted run keeps what it has
            target.write_text(header(options, versions) + "\n" + "\n".join(tables))
    print(header(options, versions))
    say(f"written to {target}")


if __name__ == "__main__":
    main()
