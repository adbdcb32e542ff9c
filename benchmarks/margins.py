"""Our margin estimators beside other libraries': `python benchmarks/margins.py`.

Every row works on the same rightly classified test images inside the [0, 1] box, in this process, on one thread.
Whatever a row claims is evaluated here again: the label must differ, the point must lie in the box, and the segment to
it is bisected. A row's ratio is its margin over the best known, the smallest of all rows. Seconds are CPU time of the
process, which other work on the machine stretches less than the clock's; with --device cuda they are the clock's, and
each pass is waited for.

A row that has run is kept below benchmarks/.cache/rows and not run again as long as network, images and, for our
rows, our code are the same; a run that is stopped goes on by the same command. `--print` runs nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from nets import CACHE, NETS, load, right_images
from outcomes import Outcome, draw, margins, table
from peers import PEERS, Work, installed
from torch import Tensor, nn
from watched import Watched, now

import bdry
from bdry.core.seeds import generator, seeded_globally
from bdry.margins import ESTIMATORS
from bdry.session.build import prepare_machine

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
BATCHES = {"mlp": 128, "cnn": 128, "robust": 128, "airbench": 64, "digits": 128}
WARM_UP = 4
BOTH = ("l2", "linf")
CURVES = [
    "DeepFool",
    "walk, 9 steps",
    "walk, 40 steps",
    "walk, 100 steps",
    "DDN, 100 steps",
    "FMN, 100 steps",
    "adv-lib DeepFool",
    "adv-lib SuperDeepFool",
    "adv-lib DDN, 100 steps",
    "adv-lib FMN, 100 steps",
    "adv-lib PDGD, 200 steps",
    "adv-lib PDPGD, 200 steps",
    "adv-lib minimal APGD",
    "AutoAttack FAB",
]


@dataclass(frozen=True)
class Row:
    """A row: its name and norms, what it does, of how many images at most, and what else decides its numbers."""

    name: str
    norms: tuple[str, ...]
    work: Work
    at_most: int | None = None
    code: str = ""
    package: str = ""


def ours(estimator: str, **settings: int) -> Work:
    """An estimator of bdry, box-constrained; nan where it found nothing."""

    def work(net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> Tensor:
        found = ESTIMATORS[estimator]
        extra = {"generator": generator(0, "bench")} if "generator" in inspect.signature(found).parameters else {}
        return found(net, x, norm=norm, clipped=True, **extra, **settings).point

    return work


def our_code() -> str:
    """A digest of the code that decides our margins."""
    source = Path(bdry.__file__).parent
    files = [*sorted((source / "margins").glob("*.py")), *sorted((source / "core").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def all_rows() -> list[Row]:
    """Ours, then the peers'."""
    own = partial(Row, code=our_code())
    rows = [
        own("DeepFool", BOTH, ours("deepfool")),
        *(own(f"walk, {steps} steps", BOTH, ours("walk", steps=steps)) for steps in (6, 9, 40, 100)),
        own("DDN, 100 steps", ("l2",), ours("ddn")),
        own("FMN, 100 steps", BOTH, ours("fmn")),
        own("APGD", BOTH, ours("apgd"), 64),
        own("FAB", BOTH, ours("fab"), 64),
    ]
    return rows + [Row(name, norms, work, size, package=package) for name, package, norms, work, size in PEERS]


def run(row: Row, net: nn.Module, x: Tensor, labels: Tensor, norm: str, batch: int) -> Outcome:
    """The row on its images, a batch at a time."""
    size = min(len(x), row.at_most or len(x))
    points, events, seconds, counts = [], [], 0.0, torch.zeros(2)
    try:
        with seeded_globally(0):
            # what is imported, compiled or chosen at the first call is nobody's time
            few = Watched(net, x[:WARM_UP], labels[:WARM_UP], norm).eval()
            row.work(few, x[:WARM_UP].clone(), labels[:WARM_UP], norm)
            for rows in torch.arange(size).split(batch):
                watched = Watched(net, x[rows], labels[rows], norm).eval()
                # indexing copies: some of the peers change their images in place
                begin = now(x.device)
                points.append(row.work(watched, x[rows], labels[rows].clone(), norm).detach())
                seconds += now(x.device) - begin - watched.own_seconds
                counts += torch.tensor([int(watched.forwards.sum()), int(watched.backwards.sum())])
                for event in watched.events:
                    event[:, 0] += int(rows[0])
                    events.append(event)
    # whatever a row dies of stands in its line; the others still run
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        return Outcome(row.name, reason=f"fails with {type(error).__name__}: {reason}")
    margin = margins(net, x[:size], torch.cat(points), labels[:size], norm, batch).cpu().numpy()
    mean = (counts / size).tolist()
    return Outcome(row.name, "", seconds, mean[0], mean[1], margin, torch.cat(events).numpy())


def outcomes_of(
    name: str, net: nn.Module, x: Tensor, labels: Tensor, norm: str, chosen: Callable[[Row], bool], only_kept: bool
) -> list[Outcome]:
    """All rows of a table: kept ones, and where not `only_kept` those that have to be run."""
    weights = hashlib.sha256(b"".join(tensor.cpu().numpy().tobytes() for tensor in net.state_dict().values()))
    weights.update(x.cpu().numpy().tobytes())
    folder = CACHE / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for row in all_rows():
        if norm not in row.norms or not chosen(row):
            continue
        about = f"{weights.hexdigest()} {row.at_most} {row.code} {BATCHES[name]}"
        about += "" if x.device.type == "cpu" else f" {x.device.type}"
        slug = "".join(letter if letter.isalnum() else "-" for letter in row.name.lower())
        path = folder / f"{name}-{norm}-{len(x)}-{slug}-{hashlib.sha256(about.encode()).hexdigest()[:12]}.npz"
        if path.exists():
            outcomes.append(Outcome.load(path))
        elif row.package and not installed(row.package):
            outcomes.append(Outcome(row.name, reason=f"not run: {row.package} is not installed"))
        elif not only_kept:
            outcomes.append(run(row, net, x, labels, norm, BATCHES[name]))
            if not outcomes[-1].reason:
                outcomes[-1].save(path)
            print(
                f"{name}, {norm}, {row.name}: {outcomes[-1].reason or f'{outcomes[-1].seconds:.1f} s'}", file=sys.stderr
            )
    return outcomes


def header(device: torch.device) -> str:
    """Machine and versions, in a line."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}."
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine())
    return f"{cpu}, one of {os.cpu_count()} cores, torch {torch.__version__}."


def main() -> None:
    """Runs what has not run, prints the tables and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=["mlp", "cnn", "robust", "airbench"])
    parser.add_argument("--norms", nargs="+", choices=BOTH, default=list(BOTH))
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="only rows whose name begins so")
    parser.add_argument(
        "--airbench", type=Path, metavar="FILE", help="a checkpoint of recipe=cifar10_small; default: trained here"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--figures", type=Path, metavar="FOLDER", default=FIGURES, help="where the curves are drawn")
    parser.add_argument("--print", action="store_true", help="only what earlier runs have left")
    given = parser.parse_args()
    device = prepare_machine(given.device, 1)
    warnings.filterwarnings("ignore")
    np.seterr(invalid="ignore")
    print(header(device) + "\n", flush=True)
    for name in given.nets:
        net, data = load(name, given.airbench if name == "airbench" else None, device)
        x, labels, accuracy = right_images(net, data, given.images)
        by_norm = {}
        for norm in given.norms:
            chosen = lambda row: not given.rows or row.name.startswith(tuple(given.rows))  # noqa: E731
            by_norm[norm] = outcomes_of(name, net, x, labels, norm, chosen, given.print)
            if any(outcome.margin is not None for outcome in by_norm[norm]):
                seconds = "CPU s" if device.type == "cpu" else "s"
                print(table(f"{name} ({accuracy:.1%}), {norm}", by_norm[norm], len(x), seconds), flush=True)
        if not given.rows and any(outcome.margin is not None for rows in by_norm.values() for outcome in rows):
            given.figures.mkdir(parents=True, exist_ok=True)
            draw(name, by_norm, len(x), CURVES, given.figures / f"margins_{name}.png")


if __name__ == "__main__":
    main()
