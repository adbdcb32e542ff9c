"""A folder that one process at a time works in: config, status, provenance, tables, figures, and the lock."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import yaml
from filelock import FileLock, Timeout

from ..errors import BusyError, RunError, unwritable
from ..names import is_text
from .arrays import path_of, read_arrays, write_arrays
from .csvfile import TableWriter, from_columns, read_table
from .files import below, refuse_links, write_json, write_text
from .kept import KEPT_TABLES
from .packed import PACKED, archive_of, packed_in, packed_names, unpacked
from .reading import CONFIG_LIMIT, JSON_LIMIT, TABLE_LIMIT, parse_config, parse_json, read_config, read_json
from .tables import TABLES

# a folder whose owner has been silent for this many beats has none any more
BEAT_EVERY_S, BEATS_MISSED = 10.0, 6
STATES = ("finished", "running", "failed", "interrupted")
# what a folder says of itself
CONFIG, STATUS, PROVENANCE = "config.yaml", "status.json", "provenance.json"
# one of these is there: the config, or the archive that holds it of a published one
CONFIGS = (CONFIG, PACKED)


def config_text(config: dict[str, Any]) -> str:
    """A resolved config as YAML."""
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


def table_file(name: str) -> str:
    """Where the table `name` is, in a folder and in what is published of one."""
    return f"tables/{name}.csv"


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
        # whether this process ever owned it: work that was finished before is never claimed
        self.was_claimed = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / CONFIG

    @property
    def figures(self) -> Path:
        """Folder of its own figures."""
        return self.path / "figures"

    def table_path(self, name: str) -> Path:
        """The CSV file of the table `name`, which the folder of a published one has not."""
        return self.path / table_file(name)

    def has_table(self, name: str) -> bool:
        """Whether there is a table `name`, published or not."""
        return self.table_path(name).exists() or table_file(name) in packed_names(self.path)

    def table(self, name: str) -> pd.DataFrame:
        """The table `name`; `RunError` where there is none or it does not fit its declaration."""
        path = self.table_path(name)
        if path.exists() or table_file(name) not in packed_names(self.path):
            return KEPT_TABLES.table(path, path, lambda: read_table(path, TABLES[name]))
        (archive, _), place = archive_of(self.path), packed_in(self.path) / table_file(name)

        def read() -> pd.DataFrame:
            return from_columns(unpacked(self.path, table_file(name), TABLE_LIMIT), place, TABLES[name])

        return KEPT_TABLES.table(place, archive, read)

    def arrays_path(self, name: str, step: int) -> Path:
        """The npz file of the arrays `name` at a moment."""
        return path_of(self.path, name, step)

    def write_arrays(self, name: str, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes the arrays `name` of a moment, compressed."""
        write_arrays(self.arrays_path(name, step), name, arrays)

    def read_arrays(self, name: str, step: int) -> dict[str, np.ndarray]:
        """The arrays `name` of a moment; `RunError` where there are none or the file is damaged. No pickle is read."""
        return read_arrays(self.arrays_path(name, step), name)

    def writer(self, name: str) -> TableWriter:
        """The writer of the table `name`."""
        return TableWriter(self.table_path(name), TABLES[name])

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Creates the folder and owns it inside the block; the operating system lets go of it when the process dies.

        Raises:
            BusyError: another process owns it (its owner is named).
            RunError: the folder cannot be written, a link leads out of it, or bytes of its path are no text.
        """
        if not is_text(str(self.path)):
            # safetensors opens no file there
            raise RunError(f"{self.path}: holds bytes that are no text in UTF-8{self.way_out}")
        refuse_links(self.path)
        try:
            for name in self.subfolders:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"{self.path}: another process works on this {self.noun} ({self._owner()})") from None
        except OSError as error:
            raise unwritable(self.path, error, self.way_out) from None
        self.was_claimed = True
        # what an owner that was killed was writing
        for path in below(self.path):
            if path.match(".*.part"):
                path.unlink(missing_ok=True)
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
        found = self.status().get("state")
        if found != "running":
            return found if found in STATES else "unknown"
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
        found = self._json(STATUS)
        return found if isinstance(found, dict) else {}

    def set_status(self, state: str, **fields: Any) -> None:
        """Replaces status.json: `state` and `fields` over what it said, with the owner and the time."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "user": _user()}
        known = self.status()
        started = {"started": now} if state == "running" and known.get("pid") != os.getpid() else {}
        found = {**known, **owner, **started, "state": state, "updated": now, **fields}
        try:
            write_json(self.path / STATUS, found)
        except OSError:
            # a full disk: the file that is there has its room already
            with (self.path / STATUS).open("r+", encoding="utf-8") as file:
                file.write(json.dumps(found))
                file.truncate()

    @property
    def finished(self) -> bool:
        """Whether the work came to its end."""
        return self.status().get("state") == "finished"

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes the resolved config as YAML."""
        write_text(self.config_path, config_text(config))

    def read_config(self) -> dict[str, Any]:
        """The resolved config; raises `RunError` where it is missing or damaged."""
        if self.config_path.exists():
            return read_config(self.config_path)
        if CONFIG not in packed_names(self.path):
            raise RunError(f"{self.path}: not a {self.noun}'s folder (no {CONFIG})")
        return parse_config(unpacked(self.path, CONFIG, CONFIG_LIMIT), packed_in(self.path) / CONFIG)

    def starts(self) -> list[dict[str, Any]]:
        """The entries of provenance.json, one a start; empty where it is missing or damaged."""
        try:
            found = self._json(PROVENANCE)
        except RunError:
            return []
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def add_provenance(self, entry: dict[str, Any]) -> None:
        """Adds one entry, of this start, to provenance.json."""
        write_json(self.path / PROVENANCE, [*self.starts(), entry])

    def _json(self, name: str) -> Any:
        """What the folder's JSON file `name` says, published or not; None where there is none."""
        if (self.path / name).exists():
            return read_json(self.path / name)
        if name not in packed_names(self.path):
            return None
        return parse_json(unpacked(self.path, name, JSON_LIMIT), packed_in(self.path) / name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
