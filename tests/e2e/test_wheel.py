"""A built wheel works outside the checkout: its own environment, a foreign folder, `conf/` inside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    # nothing of this environment may leak into the new one
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_every_yaml_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [path for path in (ROOT / "conf").rglob("*.yaml") if path.parent.name != "local"]
    assert shipped
    assert {f"bdry/_conf/{path.relative_to(ROOT / 'conf').as_posix()}" for path in shipped} <= names


@pytest.fixture(params=["borrowed", pytest.param("installed", marks=pytest.mark.long)])
def bdry(request, wheel, tmp_path) -> Path:
    """The command `bdry` of a new environment; its dependencies are this environment's, or installed by pip as well."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    if request.param == "installed":
        run(*install, "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    else:
        run(*install, "--no-deps", wheel, cwd=tmp_path)
        (site,) = (tmp_path / "env").glob("**/site-packages")
        # Python does not look for .pth files in a folder that a .pth file names: an editable bdry stays unseen
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.with_name("bdry")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_trains_in_a_new_environment_elsewhere(bdry, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    assert "bdry 0." in run(bdry, "--version", cwd=work)
    assert str(tmp_path) in run(bdry, "train", "--help", cwd=work)
    small = ["dataset.num_train=60", "dataset.num_test=40", "training.epochs=1", "probe.margin.num_train=10"]
    small += ["probe.margin.num_test=10", "evaluation.robust_images=10"]
    out = run(bdry, "train", *small, cwd=work)
    assert "test accuracy" in out
    assert "digits-mlp-none-" in run(bdry, "figures", cwd=work)
    assert list(work.rglob("margin_evolution-digits-mlp.png"))
    assert "report.html: 1 runs" in run(bdry, "report", "num_images=2", cwd=work)
    # through the Hydra plug-ins that the wheel brings
    assert "2 jobs: 1 skipped, 1 finished" in run(bdry, "train", "-m", *small, "seed=0,1", cwd=work)
