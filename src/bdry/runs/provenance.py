"""What a result came from: command, code, versions, machine."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__, plugins

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "pillow",
    "hydra-core",
    "omegaconf",
)


def provenance(**facts: Any) -> dict[str, Any]:
    """One start of a run: `facts` (device, threads, checksums) beside command, code, versions and machine."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "bdry": __version__,
        "code": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*PACKAGES, *(plugin.name for plugin in plugins.usable()))},
        "machine": {
            "host": socket.gethostname(),
            "system": platform.platform(),
            "processor": platform.machine(),
        },
        **facts,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> dict[str, Any]:
    """The commit of the checkout that bdry runs from and whether it was changed; empty for an installed wheel."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return {}
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "changed": bool(_git(checkout, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(checkout: Path, *arguments: str) -> str:
    # without a lock, which a kill would leave in the checkout for nobody to commit there
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
