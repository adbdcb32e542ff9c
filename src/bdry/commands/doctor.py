"""`bdry doctor`: does this installation compute what it should?"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from .. import __version__, plugins
from ..conf import compose, typed
from ..core.norms import dual_norm
from ..errors import BdryError
from ..margins import ESTIMATORS
from ..models import build_classifier
from ..runs.provenance import provenance
from ..session.build import build_dataset

# the beginnings of `Dataset.checksums`, train and test, of the official data
DATASETS = {
    "digits": ("b0f29484dc63", "86f7b787d4c0"),
    "mnist": ("36ff05636c53", "2867e12bad61"),
    "fashion_mnist": ("6d622863ac2c", "8cfb46765774"),
    "cifar10": ("ee7e1d4c2b85", "5c82e769cdf6"),
}
# estimators with a closed form to agree with on an affine classifier; the tolerance is relative
EXACT = {"exact": 1e-4, "deepfool": 1e-3, "walk": 1e-3, "ddn": 0.05, "fmn": 0.05, "fab": 1e-2, "apgd": 0.05}


class DoctorError(BdryError):
    """A check failed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes nothing."""


def run(parsed: argparse.Namespace) -> None:
    """Prints a line a check; raises `DoctorError` where one fails. What is optional and absent is no failure."""
    console = Console(highlight=False, soft_wrap=True)
    facts = provenance()
    console.print(f"bdry {__version__}, Python {facts['python']}, {facts['machine']['system']}")
    console.print(", ".join(f"{name} {version}" for name, version in facts["packages"].items()))
    failed = 0
    for title, check in CHECKS:
        try:
            console.print(f"[green]ok[/]      {title}: {check()}")
        except BdryError as error:
            console.print("[yellow]absent[/]  ", end="")
            console.print(f"{title}: {error}", markup=False)
        except Exception as error:
            failed += 1
            console.print("[red]failed[/]  ", end="")
            console.print(f"{title}: {type(error).__name__}: {error}", markup=False)
    if failed:
        raise DoctorError(f"{failed} of {len(CHECKS)} checks failed")


def _devices() -> str:
    found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join([*found, f"cpu with {torch.get_num_threads()} threads"])


def _plugins() -> str:
    plugins.register_all()
    if plugins.problems():
        raise RuntimeError("; ".join(plugins.problems()))
    return ", ".join(f"{plugin.name} {plugin.version}" for plugin in plugins.usable()) or "none"


def _torchvision() -> str:
    from .. import _vision

    return f"imported through {Path(_vision.__file__).name}"


def _data(name: str) -> Callable[[], str]:
    def check() -> str:
        words = [f"dataset={name}", *(["dataset.download=false"] if name != "digits" else [])]
        dataset = build_dataset(typed(compose("train", words)).dataset, torch.device("cpu"))
        sums = tuple(digest[:12] for digest in dataset.checksums().values())
        if sums != DATASETS[name]:
            raise RuntimeError(f"not the images that bdry was tested with: sha256 {sums}, should be {DATASETS[name]}")
        return f"{len(dataset.train)} + {len(dataset.test)} images, sha256 as they should be ({', '.join(sums)})"

    return check


def _estimator(name: str, tolerance: float) -> Callable[[], str]:
    def check() -> str:
        classifier = (
            build_classifier("linear", (1, 4, 4), 5, mean=[0.5], std=[0.5], seed=0).eval().requires_grad_(False)
        )
        x = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        worst = 0.0
        for norm in ("l2",) if name == "ddn" else ("l2", "linf"):
            truth = affine_margins(classifier.head.weight / 0.5, classifier(x), norm)
            found = ESTIMATORS[name](classifier, x, norm=norm).margin
            worst = max(worst, float((found / truth - 1).abs().max()))
        if not worst <= tolerance:
            raise RuntimeError(f"differs from the closed form by {worst:.2g}, more than {tolerance:g}")
        return f"within {worst:.1g} of the closed form on an affine classifier"

    return check


def affine_margins(weight: torch.Tensor, logits: torch.Tensor, norm: str) -> torch.Tensor:
    """min over k of |f_k - f_p| / ||w_k - w_p||_*, (N,), for logits (N, K) and pixel weights (K, d)."""
    own = logits.argmax(1)
    gaps = (logits.gather(1, own[:, None]) - logits).abs()
    lengths = dual_norm((weight[None] - weight[own][:, None]).flatten(0, 1), norm).reshape(gaps.shape)
    return torch.where(lengths > 0, gaps / lengths, torch.inf).amin(1)


def _launchers() -> str:
    found = [
        name for name in ("joblib", "submitit") if importlib.util.find_spec(f"hydra_plugins.hydra_{name}_launcher")
    ]
    slurm = "SLURM's srun is here" if shutil.which("srun") else "no SLURM here"
    return ", ".join(["local", *found, slurm])


CHECKS: list[tuple[str, Callable[[], str]]] = [
    ("devices", _devices),
    ("torchvision", _torchvision),
    ("launchers", _launchers),
    ("plug-ins", _plugins),
    *((f"data set {name}", _data(name)) for name in DATASETS),
    *((f"estimator {name}", _estimator(name, tolerance)) for name, tolerance in EXACT.items()),
]
