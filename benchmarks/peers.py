"""The peers' margin estimators on images that `margins.py` hands over: `python peers.py JOB`, without bdry.

JOB is a folder with job.json (net, weights, norm, batch, threads, repeats, slow, quick) and images.npz (images,
float32 in [0, 1], and their labels). For every peer it leaves <number>.npz with the end points, as its users get them,
and a row in results.json: seconds and passes of one run, or the reason why there was none.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nets import Counted, chunks, load
from torch import Tensor

WARM_UP = 32
PACKAGES = ("foolbox", "torchattacks", "adversarial-robustness-toolbox", "numpy", "torch")

# a peer's work: images and their labels to end points, in the net that it was built for
Work = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """A row: `build(net, norm)` makes the work. `batch`: its own instead of the net's best one.

    `at_most`: so many images, the time scaled up: for peers that loop over single images. `quick`: also in a quick run.
    """

    name: str
    norms: tuple[str, ...]
    build: Callable[[Counted, str], Work]
    batch: int | None = None
    at_most: int | None = None
    quick: bool = True


def declare_torchvision_operators() -> None:
    """As bdry's `_vision.py`: PyPI's torchvision, which peers import, dies beside CPU torch without two schemas."""
    spec = importlib.util.find_spec("torchvision")
    if torch.version.cuda is not None or spec is None:
        return
    extension = PathFinder.find_spec("torchvision._C", list(spec.submodule_search_locations or []))
    with contextlib.suppress(OSError, AttributeError, TypeError):
        torch.ops.load_library(extension.origin)
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _libraries.append(library)


# a Library that is collected takes its schemas away
_libraries: list[torch.library.Library] = []


def from_foolbox(attack_of: Callable[[Any, str], Any]) -> Callable[[Counted, str], Work]:
    """foolbox's raw end points, without a bound on their distance."""

    def build(net: Counted, norm: str) -> Work:
        import foolbox

        model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        attack = attack_of(foolbox.attacks, norm)
        return lambda x, labels: attack(model, x, labels, epsilons=None)[0]

    return build


def deepfool_of_foolbox(attacks: Any, norm: str) -> Any:
    attack = attacks.L2DeepFoolAttack if norm == "l2" else attacks.LinfDeepFoolAttack
    return attack(steps=50, candidates=10, overshoot=0.02)


def fmn_of_foolbox(attacks: Any, norm: str) -> Any:
    return (attacks.L2FMNAttack if norm == "l2" else attacks.LInfFMNAttack)(steps=100)


def torchattacks_deepfool(net: Counted, norm: str) -> Work:
    import torchattacks

    return torchattacks.DeepFool(net, steps=50, overshoot=0.02)


def art_deepfool(batch: int) -> Callable[[Counted, str], Work]:
    """ART takes and gives numpy arrays; its own defaults but for the batch."""

    def build(net: Counted, norm: str) -> Work:
        from art.attacks.evasion import DeepFool
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            model=net,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=(1, 28, 28),
            nb_classes=10,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        attack = DeepFool(classifier, max_iter=100, batch_size=batch, verbose=False)
        return lambda x, labels: torch.from_numpy(attack.generate(x.numpy()))

    return build


PEERS = [
    Peer("foolbox DeepFool", ("l2", "linf"), from_foolbox(deepfool_of_foolbox)),
    Peer("foolbox DDN, 100 steps", ("l2",), from_foolbox(lambda attacks, _: attacks.DDNAttack(steps=100))),
    Peer("foolbox FMN, 100 steps", ("l2", "linf"), from_foolbox(fmn_of_foolbox)),
    Peer("torchattacks DeepFool", ("l2",), torchattacks_deepfool, at_most=128, quick=False),
    Peer("ART DeepFool, batch 512", ("l2",), art_deepfool(512), batch=512),
    Peer("ART DeepFool, batch 1 (its default)", ("l2",), art_deepfool(1), batch=512, at_most=64, quick=False),
]


@dataclass
class Outcome:
    """What `margins.py` reads. `images`: how many were worked on; `seconds` and passes are of those."""

    name: str
    reason: str = ""
    images: int = 0
    runs: int = 0
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0


def run(peer: Peer, net: Counted, job: dict[str, Any], x: Tensor, labels: Tensor) -> tuple[Outcome, Tensor]:
    """Warm-up, then the median of the job's repeats; a slow peer is run once."""
    size = min(len(x), peer.at_most or len(x))
    batch = peer.batch or job["batch"]
    work = peer.build(net, job["norm"])
    work(x[:WARM_UP], labels[:WARM_UP])
    taken: list[float] = []
    while len(taken) < job["repeats"] and (not taken or taken[0] < job["slow"]):
        net.reset()
        start = time.perf_counter()
        parts = [work(x[part], labels[part]).detach() for part in chunks(size, batch)]
        taken.append(time.perf_counter() - start)
    outcome = Outcome(
        peer.name,
        images=size,
        runs=len(taken),
        seconds=statistics.median(taken),
        forwards=net.forwards,
        backwards=net.backwards,
    )
    return outcome, torch.cat(parts)


def main() -> None:
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    warnings.filterwarnings("ignore")
    declare_torchvision_operators()
    with np.load(folder / "images.npz") as arrays:
        x, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    outcomes: list[Outcome] = []
    for peer in PEERS:
        if job["norm"] not in peer.norms or (job["quick"] and not peer.quick):
            continue
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            outcome, points = run(peer, Counted(load(job["net"], Path(job["weights"]))), job, x, labels)
            np.savez(folder / f"{len(outcomes)}.npz", points=points.numpy().astype(np.float32))
        # whatever a peer dies of is its row; the others still run
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            outcome = Outcome(peer.name, reason=f"{type(error).__name__}: {lines[0]}")
        print(f"  {peer.name}: {outcome.reason or f'{outcome.seconds:.2f} s'}", flush=True)
        outcomes.append(outcome)
        # written after every row: what is done survives a peer that takes the process down
        results = {"versions": versions, "rows": [asdict(outcome) for outcome in outcomes]}
        (folder / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
