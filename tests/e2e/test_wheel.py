"""Wheel and sdist work outside the checkout: an environment of their own, a foreign folder, `conf/` inside."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)


def run(*command: str | Path, cwd: Path) -> str:
    # nothing of this environment may leak into the new one
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The sdist of the tree, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    found = {path.suffix: path for path in folder.iterdir()}
    return {"wheel": found[".whl"], "sdist": found[".gz"]}


def test_every_yaml_and_what_the_page_is_made_of_is_in_the_wheel(files):
    names = set(zipfile.ZipFile(files["wheel"]).namelist())
    shipped = [path for path in (ROOT / "conf").rglob("*.yaml") if path.parent.name != "local"]
    assert shipped
    assert {f"bdry/_conf/{path.relative_to(ROOT / 'conf').as_posix()}" for path in shipped} <= names
    page = [path for place in ("templates", "vendor") for path in (ROOT / "src/bdry/html" / place).rglob("*.*")]
    assert len(page) > 5
    assert {path.relative_to(ROOT / "src").as_posix() for path in page} <= names
    assert len([name for name in names if name.endswith("LICENSE") and "dist-info" in name]) == 2


def test_the_sdist_has_the_documents_and_what_a_release_is_checked_by(files):
    with tarfile.open(files["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt", "constraints-lowest.txt", "pyproject.toml"]
    wanted += [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")]
    assert {*wanted, "scripts/release.py", "conf/demo.yaml", "src/hydra_plugins/bdry_sweeps/__init__.py"} <= names


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_alone_runs_the_demo_in_a_new_environment_elsewhere(files, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", files["wheel"], cwd=tmp_path)
    # its dependencies are this environment's. Python does not look for .pth files in a folder that a .pth file names:
    # an editable bdry stays unseen
    (site,) = (tmp_path / "env").glob("**/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    bdry, work = python.with_name("bdry"), tmp_path / "work"
    work.mkdir()
    assert "bdry 0." in run(bdry, "--version", cwd=work)
    assert str(tmp_path) in run(bdry, "demo", "--help", cwd=work)
    # through the Hydra plug-ins that the wheel brings
    out = run(bdry, "demo", *release.SMALL, cwd=work)
    assert "2 jobs: 2 finished" in out
    assert "report.html: 2 runs" in out
    for pattern in release.LEFT:
        assert list((work / "outputs" / "demo").glob(pattern)), pattern


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_release_script_finds_this_tree_fit(tmp_path):
    out = run(sys.executable, ROOT / "scripts/release.py", "--to", tmp_path / "dist", cwd=tmp_path)
    assert f"{release.version_of(ROOT)} can be released" in out
    assert len(list((tmp_path / "dist").iterdir())) == 2


def test_the_tree_says_one_version():
    assert release.problems(ROOT) == []


@pytest.fixture
def tree(tmp_path) -> Path:
    """What of the tree says a version, as before a release: without a day."""
    (tmp_path / "src/bdry").mkdir(parents=True)
    for name in ("src/bdry/__init__.py", "CHANGELOG.md", "CITATION.cff"):
        text = re.sub(r"\ndate-released: \S+", "", (ROOT / name).read_text(encoding="utf-8"))
        text = re.sub(r"^(## \S+) \([^)]+\)", r"\1 (unreleased)", text, count=1, flags=re.M)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("src/bdry/__init__.py", '"0.', '"9.', "CITATION.cff: version 0"),
        ("CITATION.cff", "\nversion: ", "\nversion: 1", "CITATION.cff: version 1"),
        ("CHANGELOG.md", "## 0.", "## 7.", "CHANGELOG.md: the first entry is not '## 0"),
        ("CHANGELOG.md", "\n- ", "\n", "says nothing"),
        ("CHANGELOG.md", "(unreleased)", "(soon)", "both need the day"),
        ("CHANGELOG.md", "(unreleased)", "(2030-01-01)", "both need the day"),
        ("CITATION.cff", "\nlicense:", "\ndate-released: 2030-01-01\nlicense:", "both need the day"),
    ],
)
def test_a_version_a_day_or_an_entry_that_does_not_fit_is_a_line(tree, name, old, new, problem):
    text = (tree / name).read_text(encoding="utf-8")
    assert old in text
    (tree / name).write_text(text.replace(old, new), encoding="utf-8")
    assert problem in "\n".join(release.problems(tree))


def test_a_tree_with_its_day_in_both_places_can_be_tagged(tree):
    for name, old, new in (
        ("CHANGELOG.md", "(unreleased)", "(2030-01-01)"),
        ("CITATION.cff", "\nlicense:", "\ndate-released: 2030-01-01\nlicense:"),
    ):
        text = (tree / name).read_text(encoding="utf-8")
        (tree / name).write_text(text.replace(old, new), encoding="utf-8")
    assert release.problems(tree) == []
    assert release.is_dated(tree)
