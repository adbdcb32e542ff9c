"""`bdry doctor`: does this installation compute what it should?"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from .. import __version__, plugins
from ..conf import compose, typed
from ..errors import BdryError, reason
from ..runs.provenance import provenance

# the beginnings of `Dataset.checksums`, train and test, of the official data
DATASETS = {
    "digits": ("b0f29484dc63", "86f7b787d4c0"),
    "mnist": ("36ff05636c53", "2867e12bad61"),
    "fashion_mnist": ("6d622863ac2c", "8cfb46765774"),
    "cifar10": ("ee7e1d4c2b85", "5c82e769cdf6"),
}


class DoctorError(BdryError):
    """A check failed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes nothing."""


def run(parsed: argparse.Namespace) -> None:
    """Prints a line a check; raises `DoctorError` where one fails. What is optional and absent is no failure.

    What is slow to import is imported in the checks, so that the first lines are there at once.
    """
    console = Console(highlight=False, soft_wrap=True)
    facts = provenance()
    console.print(f"bdry {__version__}, Python {facts['python']}, {facts['machine']['system']}")
    console.print(", ".join(f"{name} {version}" for name, version in facts["packages"].items()))
    failed = 0
    all_checks = _checks()
    for done, (title, check) in enumerate(all_checks, 1):
        try:
            with console.status(f"{title}, {done} of {len(all_checks)}"):
                found = check()
            console.print(f"[green]ok[/]      {title}: {found}")
        except BdryError as error:
            console.print("[yellow]absent[/]  ", end="")
            console.print(f"{title}: {error}", markup=False)
        except Exception as error:
            failed += 1
            console.print("[red]failed[/]  ", end="")
            console.print(f"{title}: {reason(error)}", markup=False)
    if failed:
        raise DoctorError(f"{failed} of {len(all_checks)} checks failed")


def _devices() -> str:
    import torch

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
        import torch

        from ..session.build import build_dataset

        words = [f"dataset={name}", *(["dataset.download=false"] if name != "digits" else [])]
        dataset = build_dataset(typed(compose("train", words)).dataset, torch.device("cpu"))
        sums = tuple(digest[:12] for digest in dataset.checksums().values())
        if sums != DATASETS[name]:
            raise RuntimeError(f"not the images that bdry was tested with: sha256 {sums}, should be {DATASETS[name]}")
        return f"{len(dataset.train)} + {len(dataset.test)} images, sha256 as they should be ({', '.join(sums)})"

    return check


def _estimator(name: str) -> Callable[[], str]:
    def check() -> str:
        from ..margins import ESTIMATORS, checks

        estimator, abilities = ESTIMATORS[name], ESTIMATORS.abilities(name)
        worst = {True: 0.0, False: 0.0}
        for norm in abilities.norms:
            for distance, scale, shift in checks.CASES:
                error = checks.error_on_affine(estimator, abilities, norm, distance, scale, shift)
                most = checks.tolerance(abilities, distance)
                if not error <= most:
                    where = "common distances" if distance is None else f"{distance:g}, logits of size {scale:g}"
                    where += f" with {shift:g} added" if shift else ""
                    raise RuntimeError(
                        f"differs from the closed form by {error:.2g} in {norm}, more than {most:g} ({where})"
                    )
                worst[distance is None] = max(worst[distance is None], error)
        return (
            f"within {worst[True]:.1g} of the closed form on affine classifiers, near the boundary and at odd scales "
            f"within {worst[False]:.1g}"
        )

    return check


def _launchers() -> str:
    submitit = ["submitit"] if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") else []
    slurm = "SLURM's srun is here" if shutil.which("srun") else "no SLURM here"
    return ", ".join(["local", "joblib", *submitit, slurm])


def _checks() -> list[tuple[str, Callable[[], str]]]:
    """What is checked, with plug-ins' estimators."""
    from ..margins import ESTIMATORS

    plugins.register_all()
    return [
        ("devices", _devices),
        ("torchvision", _torchvision),
        ("launchers", _launchers),
        ("plug-ins", _plugins),
        *((f"data set {name}", _data(name)) for name in DATASETS),
        *((f"estimator {name}", _estimator(name)) for name in ESTIMATORS),
    ]
