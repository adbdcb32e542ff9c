"""A folder that one process at a time works in: config, status, provenance, tables, figures, and the lock."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from filelock import FileLock, Timeout

from ..errors import RunError
from .csvfile import TableWriter
from .files import replacing, write_json, write_text
from .tables import TABLES

# a folder whose owner has been silent for this many beats has none any more
BEAT_EVERY_S, BEATS_MISSED = 10.0, 6


def hash8(settings: dict[str, Any]) -> str:
    """Eight hexadecimal digits of the canonical JSON of `settings`."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class OwnedFolder:
    """What a run and a measurement have in common; nothing is created before `claimed`."""

    noun: ClassVar[str] = "folder"
    subfolders: ClassVar[tuple[str, ...]] = ("tables", "figures")
    way_out: ClassVar[str] = "; choose outputs=<folder>"

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def figures(self) -> Path:
        """Folder of its own figures."""
        return self.path / "figures"

    def table_path(self, name: str) -> Path:
        """The CSV file of the table `name`."""
        return self.path / "tables" / f"{name}.csv"

    def arrays_path(self, name: str, step: int) -> Path:
        """The npz file of the arrays `name` at a moment."""
        return self.path / "arrays" / f"{name}-step={step:08d}.npz"

    def write_arrays(self, name: str, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes the arrays `name` of a moment, compressed."""
        path = self.arrays_path(name, step)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def read_arrays(self, name: str, step: int) -> dict[str, np.ndarray]:
        """The arrays `name` of a moment; `RunError` where there are none or the file is damaged. No pickle is read."""
        path = self.arrays_path(name, step)
        try:
            with np.load(path, allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except FileNotFoundError:
            raise RunError(f"{path}: missing") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise RunError(f"{path}: damaged ({str(error).splitlines()[0]})") from None

    def writer(self, name: str) -> TableWriter:
        """The writer of the table `name`."""
        return TableWriter(self.table_path(name), TABLES[name])

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Creates the folder and owns it inside the block; the operating system lets go of it when the process dies.

        Raises:
            RunError: another process owns it (its owner is named), or the folder cannot be written.
        """
        try:
            for name in self.subfolders:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"{self.path}: another process works on this {self.noun} ({self._owner()})") from None
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror or error}){self.way_out}") from None
        # what an owner that was killed was writing
        for left_behind in self.path.rglob(".*.part"):
            left_behind.unlink(missing_ok=True)
        stopped = threading.Event()
        heart = threading.Thread(target=self._beat, args=(stopped,), daemon=True)
        heart.start()
        try:
            yield
        finally:
            stopped.set()
            heart.join()
            lock.release()

    def _beat(self, stopped: threading.Event) -> None:
        """Says that the owner lives, on other machines too: the lock's own file gets a new time every few seconds."""
        while not stopped.wait(BEAT_EVERY_S):
            with suppress(OSError):
                os.utime(self.path / "lock")

    def state(self) -> str:
        """finished, running, failed, interrupted or unknown; a run whose owner has died counts as interrupted."""
        found = str(self.status().get("state", "unknown"))
        if found != "running":
            return found
        try:
            silence = time.time() - (self.path / "lock").stat().st_mtime
        except OSError:
            return "interrupted"
        return "running" if silence < BEATS_MISSED * BEAT_EVERY_S else "interrupted"

    def _owner(self) -> str:
        status = self.status()
        if not status:
            return "it has just started"
        return (
            f"{status.get('user')} on {status.get('host')}, process {status.get('pid')}, since {status.get('started')}"
        )

    def status(self) -> dict[str, Any]:
        """What status.json says; empty where there is none. Raises `RunError` where it is damaged."""
        path = self.path / "status.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise RunError(f"{path}: damaged ({error})") from None
        return found if isinstance(found, dict) else {}

    def set_status(self, state: str, **fields: Any) -> None:
        """Replaces status.json: `state` and `fields` over what it said, with the owner and the time."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "user": _user()}
        known = self.status()
        started = {"started": now} if state == "running" and known.get("pid") != os.getpid() else {}
        write_json(self.path / "status.json", {**known, **owner, **started, "state": state, "updated": now, **fields})

    @property
    def finished(self) -> bool:
        """Whether the work came to its end."""
        return self.status().get("state") == "finished"

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes the resolved config as YAML."""
        write_text(self.config_path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def read_config(self) -> dict[str, Any]:
        """The resolved config; raises `RunError` where it is missing or damaged."""
        try:
            config = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path}: not a {self.noun}'s folder (no config.yaml)") from None
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.config_path}: damaged ({str(error).splitlines()[0]})") from None
        if not isinstance(config, dict):
            raise RunError(f"{self.config_path}: damaged (not a mapping)")
        return config

    def add_provenance(self, entry: dict[str, Any]) -> None:
        """Adds one entry, of this start, to provenance.json."""
        path = self.path / "provenance.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            entries = []
        write_json(path, [*entries, entry])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
