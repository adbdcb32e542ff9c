"""Shared fixtures: the command line, one thread, hidden randomness refused, the data root, small data sets."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# as `bdry` does, before torch is there
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from hypothesis import settings

from bdry.data import Dataset, Split
from bdry.figures import Style, styled

# the same examples in every run: a red test can be run again
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

SERVER = Path(__file__).with_name("bdry_server.py")
# how what is measured is drawn at the end, where no test looks at the picture: that takes longer than the measuring
COARSE = {"formats": ["png"], "dpi": 50}


@pytest.fixture(scope="module")
def coarse_figures():
    """What commands draw that run in this process, or in forks of it, is coarse."""
    with styled(Style(**COARSE)):
        yield


class CommandLine:
    """`bdry(*words, cwd=, env=)` runs one command line and gives the finished process, as `subprocess.run` does.

    `style` is what figures look like that a command draws without one; `{}`: as for a user.

    The command line runs in a fork of a process that has imported everything once, which saves the 2 to 5 CPU seconds
    of a start. What differs from a process of its own: one hash seed and one state of global generators serve all, and
    variables that Python or torch read when they start (PYTHONPATH, OMP_NUM_THREADS) come too late. A test of those
    starts a process itself.
    """

    def __init__(self, imports: str) -> None:
        self.imports = imports
        self.server: subprocess.Popen[str] | None = None

    def __call__(
        self,
        *words: object,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        style: dict[str, object] = COARSE,
        timeout: float = 240,
    ) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in words]
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            out.touch()
            err.touch()
            request = {"words": command, "cwd": str(cwd or Path.cwd()), "env": {**os.environ, **(env or {})}}
            request["style"] = style
            print(json.dumps({**request, "out": str(out), "err": str(err)}), file=self._started().stdin, flush=True)
            process = self._answer(timeout)
            code = self._answer(timeout, process)
            return subprocess.CompletedProcess(["bdry", *command], code, out.read_text(), err.read_text())

    def _started(self) -> subprocess.Popen[str]:
        if self.server is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            self.server = subprocess.Popen([sys.executable, str(SERVER), self.imports], env=env, **pipes)
        return self.server

    def _answer(self, timeout: float, process: int | None = None) -> int:
        """The server's next line; kills `process` where it takes longer than `timeout` seconds."""
        stream = self._started().stdout
        if not select.select([stream], [], [], timeout)[0] and process is not None:
            os.kill(process, signal.SIGKILL)
            stream.readline()
            raise AssertionError(f"not finished after {timeout} s")
        return int(stream.readline())

    def close(self) -> None:
        if self.server is not None:
            with contextlib.closing(self.server.stdout), contextlib.closing(self.server.stdin):
                pass
            self.server.wait()


@pytest.fixture(scope="session")
def bdry() -> Iterator[CommandLine]:
    """The command line as a user types it."""
    command_line = CommandLine("all")
    yield command_line
    command_line.close()


@pytest.fixture(scope="session")
def bdry_without_torch() -> Iterator[CommandLine]:
    """The same where importing torch, torchvision or scikit-learn ends in exit code 99."""
    command_line = CommandLine("no-torch")
    yield command_line
    command_line.close()


DATA_ROOT = Path(os.environ.get("BDRY_DATA", "~/.cache/bdry")).expanduser()


@pytest.fixture(autouse=True)
def _one_thread_and_no_hidden_randomness():
    torch.set_num_threads(1)
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before), "torch's global generator was drawn from"


@pytest.fixture
def data_root() -> str:
    """The folder with MNIST, Fashion-MNIST and CIFAR-10; skips where ../shared/data/prepare was not run."""
    if not (DATA_ROOT / "cifar-10-batches-py" / "batches.meta").is_file():
        pytest.skip(f"no data sets in {DATA_ROOT}: run ../shared/data/prepare or set BDRY_DATA")
    return str(DATA_ROOT)


def make_split(n: int, shape: tuple[int, int, int], num_classes: int, seed: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, *shape), generator=draw, dtype=torch.uint8)
    return Split(images, torch.arange(n) % num_classes, torch.arange(n))


@pytest.fixture
def tiny_dataset() -> Dataset:
    """48 training and 24 test images of noise, 1x4x4, three classes."""
    return Dataset("tiny", make_split(48, (1, 4, 4), 3, 0), make_split(24, (1, 4, 4), 3, 1), ("a", "b", "c"))
