"""Little of everything: memory, open files, a read-only place. One line each, and no other word for it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bdry
from bdry.session.cores import num_cores
from bdry.session.python_child import BDRY

SEVERAL = Path(__file__).parents[1] / "several.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a Linux shell")

SMALL = "dataset.num_train=20 dataset.num_test=20 training.epochs=1 'probe=[]' evaluation.robust_images=0 threads=1"


def limited(limit, words, folder, command=f"train {SMALL}"):
    """`bdry train`, or another command, in a shell with a limit."""
    env = {**os.environ, "PYTHONPATH": str(Path(bdry.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    line = f'{limit}; exec {sys.executable} -c "{BDRY}" {command} {words}'
    return subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True)


def test_few_open_files_are_enough(tmp_path):
    done = limited("ulimit -n 64", "'arch.widths=[4]'", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_little_memory_is_a_line(tmp_path):
    done = limited("ulimit -v 4500000", "'arch.widths=[60000,60000]'", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bdry: not enough memory here (")
    assert len(done.stderr.splitlines()) == 1


# between some limits OpenBLAS waits for ever for its buffer, or stops the process by SIGINT
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kib", [300_000, 760_000, 800_000])
def test_too_little_memory_for_the_libraries_is_a_line(kib, tmp_path):
    done = limited(f"ulimit -v {kib}", "'arch.widths=[4]'", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bdry: not enough memory here (")
    assert len(done.stderr.splitlines()) == 1


def test_a_list_of_runs_takes_little_memory(tmp_path):
    least = 260_000 + 20_000 * num_cores()
    done = limited(f"ulimit -v {least}", ".", tmp_path, "runs")
    # pandas is there, and has nothing to list
    assert (done.returncode, "no run" in done.stderr) == (2, True)
    refused = limited(f"ulimit -v {least - 1}", ".", tmp_path, "runs")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith("bdry: not enough memory here (ulimit -v is")


# a quick demo
DEMO = "seeds=[0] epochs=1 keep_points=2 'overrides=[dataset.num_train=40,dataset.num_test=40]'"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_demo_with_few_open_files_is_done(tmp_path):
    done = limited("ulimit -n 64", DEMO, tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "demo" / "report.html").is_file()


def test_a_demo_in_a_place_that_is_no_folder_is_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "/proc/nowhere"):
        done = limited(":", f"{DEMO} outputs={place}", tmp_path, "demo")
        assert done.returncode == 2
        assert done.stderr.startswith(f"bdry: {place}")
        assert len(done.stderr.splitlines()) <= 2
        assert "Traceback" not in done.stderr


def test_a_read_only_place_is_a_line(tmp_path):
    # root may write anywhere but here
    done = limited(":", "'arch.widths=[4]' outputs=/proc/nowhere", tmp_path)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert done.stderr.strip().endswith("; choose outputs=<folder>")
    assert len(done.stderr.splitlines()) == 1


READ_ONLY = "mount --bind sealed sealed && mount -o remount,ro,bind sealed"


@pytest.fixture
def seal(tmp_path):
    """Commands of bdry where the folder `sealed` is mounted read-only, which stops root as well."""
    namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    (tmp_path / "sealed").mkdir()
    try:
        subprocess.run([*namespace, READ_ONLY], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this machine lets nobody mount a folder read-only")

    def run(lines):
        env = {**os.environ, "PYTHONPATH": str(Path(bdry.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        line = f"{READ_ONLY} && exec {shlex.join([sys.executable, str(SEVERAL), *lines])}"
        return subprocess.run([*namespace, line], cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


SEALED = {
    f"train -m {SMALL} seed=1,2 outputs=sealed": "sealed/sweeps",
    "svm run={run}": "/seed=0/measurements",
    "export run={run} --output sealed/run.zip": "sealed/run.zip: ",
    "report 'papers=[]' num_images=0 runs=sealed outputs=sealed": "sealed/report.html: ",
    "publish paper=mickisch2020 runs=sealed to=sealed/out": "sealed/out: ",
    "figures paper=mickisch2020 figure=margin_evolution runs=sealed outputs=sealed": "sealed/figures",
}


@pytest.mark.slow
def test_a_folder_mounted_read_only_is_a_line_and_can_be_read(seal, tmp_path):
    probe = "'probe=[margin]' probe.margin.num_train=4 probe.margin.num_test=4"
    made = limited(":", f"{probe} outputs=sealed", tmp_path)
    assert made.returncode == 0, made.stderr
    (run,) = tmp_path.glob("sealed/runs/*/seed=0")
    done = seal([*(words.format(run=run.relative_to(tmp_path)) for words in SEALED), "runs sealed"])
    *said, listed = done.stderr.splitlines()
    assert listed == "code 0"
    assert said[1::2] == ["code 2"] * len(SEALED), done.stderr
    for (words, named), line in zip(SEALED.items(), said[::2], strict=True):
        assert line.startswith("bdry: "), words
        assert named in line, words
        assert "cannot be written (Read-only file system)" in line, words
        # the names of temporary files are nothing that a user knows
        assert ".part" not in line and ".lock" not in line, words
