"""A run's folder: where everything in it is, who owns it, and in which state it is.

outputs/runs/<dataset>-<arch>-<adv>-<hash8>/seed=<n>/
    config.yaml        the resolved config, the run's identity
    status.json        running, finished, failed or interrupted; how far; by whom
    provenance.json    one entry a start: command, code, versions, device, checksums
    tables/*.csv       see docs/tables.md
    checkpoints/       last.safetensors to resume from, step=<n>.safetensors of each moment
    figures/           the run's own figures
    lock               held by the process that owns the folder
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from ..errors import RunError
from .csvfile import TableWriter
from .files import write_json, write_text
from .tables import TABLES


def run_name(science: dict[str, Any]) -> str:
    """`<dataset>-<arch>-<adv>-<hash8>`, the hash over the canonical JSON of the config's science part."""
    text = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    names = (science[group]["name"] for group in ("dataset", "arch", "adv"))
    safe = [re.sub(r"[^A-Za-z0-9_.]", "_", name) for name in names]
    return "-".join([*safe, hashlib.sha256(text.encode()).hexdigest()[:8]])


class Run:
    """One run's folder; nothing is created before `claimed`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, outputs: str, science: dict[str, Any], seed: int) -> Run:
        """The folder that belongs to a config and a seed."""
        return cls(Path(outputs).expanduser() / "runs" / run_name(science) / f"seed={seed}")

    @property
    def name(self) -> str:
        """`<dataset>-<arch>-<adv>-<hash8>/seed=<n>`, what checkpoints and messages call it."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def last_checkpoint(self) -> Path:
        """The state to resume from."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def figures(self) -> Path:
        """Folder of the run's own figures."""
        return self.path / "figures"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files, where asked for."""
        return self.path / "tensorboard"

    def moment_checkpoint(self, step: int) -> Path:
        """The classifier as it was after `step` optimiser steps."""
        return self.path / "checkpoints" / f"step={step:08d}.safetensors"

    def table_path(self, name: str) -> Path:
        """The CSV file of the table `name`."""
        return self.path / "tables" / f"{name}.csv"

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
            for name in ("tables", "checkpoints", "figures"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"{self.path}: another process works on this run ({self._owner()})") from None
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written ({error.strerror or error}); choose outputs=<folder>"
            ) from None
        try:
            yield
        finally:
            lock.release()

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
        """Whether the run came to its end."""
        return self.status().get("state") == "finished"

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes the resolved config as YAML."""
        write_text(self.config_path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def read_config(self) -> dict[str, Any]:
        """The resolved config; raises `RunError` where it is missing or damaged."""
        try:
            config = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path}: not a run's folder (no config.yaml)") from None
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
