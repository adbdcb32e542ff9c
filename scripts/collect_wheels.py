"""The wheels that a machine without network lacks: `python scripts/collect_wheels.py FOLDER [--has NAME...]`.

What bdry, its tests and its benchmarks' peers need, in the versions that are installed here, for another Python and
Linux on x86-64; torch and what it brings are left out, since a machine with a GPU has its own. --has names packages
that are there too, as in `--has numpy scipy pandas`. Packages without a wheel are built here, which suits those in
Python alone. `scripts/gpu_kit.sh pack` makes pieces of FOLDER.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import tomllib
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# what bdry is asked for with, and what its tests need besides
EXTRAS, TESTED_WITH = ("bench",), ("pytest", "pytest-timeout", "hypothesis")
# with a GPU's own build of torch comes what it needs
ITS_OWN = ("torch", "torchvision", "triton")
# manylinux tags are matched exactly
GLIBC = ("2_39", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")


def needed(python: str, has: Collection[str] = (), extras: Collection[str] = EXTRAS) -> dict[str, str]:
    """Versions by name of all that bdry needs there, followed through what is installed here.

    Args:
        python: the other Python's version, as in 3.12.
        has: names of packages that are there.
        extras: of bdry's.
    """
    there = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    left_out = {canonicalize_name(name) for name in (*ITS_OWN, *has)}
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    waiting = [*project["dependencies"], *TESTED_WITH]
    for extra in extras:
        waiting += project["optional-dependencies"][extra]
    found: dict[str, str] = {}
    seen = set()
    while waiting:
        asked = Requirement(waiting.pop())
        name, wanted = canonicalize_name(asked.name), ("", *sorted(asked.extras))
        if name in left_out or (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here: pip install '.[dev,bench]'") from None
        found[name] = installed.version
        for one in map(Requirement, installed.requires or []):
            if one.marker is None or any(one.marker.evaluate({**there, "extra": extra}) for extra in wanted):
                one.marker = None
                waiting.append(str(one))
    return dict(sorted(found.items()))


def fetch(name: str, version: str, python: str, folder: Path) -> bool:
    """The package's wheel into the folder, built here where there is none; whether it worked."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    platforms = [f"--platform=manylinux_{glibc}_x86_64" for glibc in GLIBC] + ["--platform=manylinux2014_x86_64"]
    target = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *platforms]
    asked = [f"{name}=={version}", "--no-deps"]
    download = [*pip, "download", *asked, *target, f"--dest={folder}"]
    if subprocess.run(download, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return True
    return subprocess.run([*pip, "wheel", *asked, f"--wheel-dir={folder}"], check=False).returncode == 0


def main() -> None:
    """Lists what is needed, then fetches it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="the other machine's")
    parser.add_argument("--has", nargs="*", default=[], metavar="NAME", help="packages that it has")
    parser.add_argument("--list", action="store_true", help="fetch nothing")
    asked = parser.parse_args()
    wanted = needed(asked.python, asked.has)
    print(*(f"{name}=={version}" for name, version in wanted.items()), sep="\n")
    if asked.list:
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name, version in wanted.items() if not fetch(name, version, asked.python, asked.folder)]
    wheels = list(asked.folder.glob("*.whl"))
    print(f"{len(wheels)} wheels, {sum(path.stat().st_size for path in wheels) / 1e6:.1f} MB")
    if missing:
        raise SystemExit(f"not found: {', '.join(missing)}")


if __name__ == "__main__":
    main()
