"""Whether this tree can be released: versions, changelog, wheel and sdist, and both of them at work on a bare machine.

    python scripts/release.py [--to dist] [bdry demo's settings, as in epochs=40 seeds=[0,1,2]]

builds wheel and sdist, has twine check them, and installs the wheel into a virtual environment outside the tree, with
the versions of constraints.txt, then the sdist in its place. Each time `bdry doctor` and a small `bdry demo` must work.
It needs a package index, and minutes; nothing is uploaded. Exit code 1 with a line for each problem.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ("build>=1.2", "twine>=6.1")
# of the demo: every command of it, on few images; `make demo` is the whole of it
SMALL = (
    *("seeds=[0]", "epochs=1", "keep_points=2"),
    "overrides=[dataset.num_train=60,dataset.num_test=40,probe.margin.num_train=10,probe.margin.num_test=10,"
    "evaluation.robust_images=10]",
)
# what a demo must have left
LEFT = ("figures/mickisch2020/margin_evolution-*.png", "report.html", "runs/*/seed=*/tables/margins.csv")


class ReleaseError(Exception):
    """The tree cannot be released; a line for each problem."""


def version_of(root: Path) -> str:
    """The version that the package says it is."""
    found = re.search(r'^__version__ = "([^"]+)"', (root / "src/bdry/__init__.py").read_text(encoding="utf-8"), re.M)
    if not found:
        raise ReleaseError("src/bdry/__init__.py: no __version__")
    return found[1]


def problems(root: Path) -> list[str]:
    """What CHANGELOG.md and CITATION.cff say otherwise than the package, a line each."""
    version = version_of(root)
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    found = []
    cited = re.search(r"^version: (\S+)$", citation, re.M)
    if not cited or cited[1] != version:
        found.append(f"CITATION.cff: version {cited[1] if cited else 'missing'}, should be {version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \(([^)]+)\)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if not newest or newest[1] != version:
        return [*found, f"CHANGELOG.md: the first entry is not '## {version} (<date, or unreleased>)'"]
    if not re.search(r"^- \S", newest[3], re.M):
        found.append(f"CHANGELOG.md: the entry of {version} says nothing")
    dated = re.search(r"^date-released: (\S+)$", citation, re.M)
    dates = {newest[2], dated[1] if dated else "unreleased"}
    if len(dates) > 1 or not re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", newest[2]):
        found.append(
            f"CHANGELOG.md dates {version} '{newest[2]}', CITATION.cff 'date-released: {dated[1] if dated else ''}': "
            "both need the day of the release, YYYY-MM-DD, or neither has one"
        )
    return found


def is_dated(root: Path) -> bool:
    """Whether the changelog gives this version a day."""
    return f"## {version_of(root)} (unreleased)" not in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def run(*command: str | Path, cwd: Path) -> str:
    """A command's standard output, told before it runs; raises `ReleaseError` with its last lines where it fails."""
    words = [str(word) for word in command]
    print("$ " + " ".join(words), flush=True)
    # nothing of this environment may leak into the others
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(words, cwd=cwd, env=outside, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(words)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def environment(place: Path, *requirements: str | Path) -> Path:
    """The folder of commands of a fresh virtual environment with these requirements."""
    venv.create(place, with_pip=True)
    commands = place / ("Scripts" if os.name == "nt" else "bin")
    install(commands, "-c", ROOT / "constraints.txt", *requirements)
    return commands


def install(commands: Path, *words: str | Path) -> None:
    """`pip install` in a virtual environment."""
    pip = (commands / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    run(*pip, *words, cwd=commands.parent)


def built(commands: Path, to: Path) -> list[Path]:
    """Wheel and sdist, the wheel from the sdist."""
    run(commands / "python", "-m", "build", "--outdir", to, ROOT, cwd=to)
    files = [*to.glob(f"bdry-{version_of(ROOT)}-*.whl"), *to.glob(f"bdry-{version_of(ROOT)}.tar.gz")]
    if len(files) != 2:
        raise ReleaseError(
            f"{to}: no wheel and sdist of {version_of(ROOT)}, but {', '.join(map(str, files)) or 'nothing'}"
        )
    run(commands / "python", "-m", "twine", "check", "--strict", *files, cwd=to)
    return files


def try_out(file: Path, commands: Path, work: Path, settings: Sequence[str]) -> None:
    """Has the bdry that is installed from `file` work in the folder `work`."""
    bdry = commands / "bdry"
    work.mkdir()
    said = run(bdry, "--version", cwd=work).strip()
    if said != f"bdry {version_of(ROOT)}":
        raise ReleaseError(f"{file.name}: bdry --version says {said}")
    run(bdry, "doctor", cwd=work)
    print(run(bdry, "demo", *settings, cwd=work)[-600:])
    missing = [pattern for pattern in LEFT if not list((work / "outputs" / "demo").glob(pattern))]
    if missing:
        raise ReleaseError(f"{file.name}: bdry demo left no {', '.join(missing)}")


def main(words: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="the folder for wheel and sdist")
    parser.add_argument("settings", nargs="*", default=SMALL, help="of bdry demo, in the place of its smallest")
    parsed = parser.parse_args(words)
    to = parsed.to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    try:
        if found := problems(ROOT):
            raise ReleaseError("\n".join(found))
        with tempfile.TemporaryDirectory(prefix="bdry-release-") as folder:
            place = Path(folder)
            wheel, sdist = built(environment(place / "tools", *TOOLS), to)
            commands = environment(place / "env", wheel)
            try_out(wheel, commands, place / "wheel", parsed.settings)
            # the wheel's dependencies are the sdist's: the wheel was built from it
            install(commands, "--force-reinstall", "--no-deps", sdist)
            try_out(sdist, commands, place / "sdist", parsed.settings)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    rest = "tag it" if is_dated(ROOT) else "date it in CHANGELOG.md and CITATION.cff, then tag it"
    print(f"{version_of(ROOT)} can be released: {rest} (docs/releasing.md); files in {to}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
