"""Plug-ins: installed packages with data sets, architectures, estimators, probes or optimisers of their own.

Such a package names itself by an entry point of the group `bdry.plugins`. Of the package `bdry_stripes`

    bdry_stripes/__init__.py   is imported when bdry starts, and declares schemas and tables; no torch there
    bdry_stripes/conf/         holds its options, laid out as bdry's own conf/
    every module in it         is imported, to register its builders, when a name is asked for that bdry does not have

One that fails is left out, and `problems` says so.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from .errors import reason
from .leaving import said

GROUP = "bdry.plugins"


@dataclass
class Plugin:
    """An installed plug-in. problem: why it is left out, or empty."""

    name: str
    version: str
    package: str
    problem: str = ""

    @property
    def conf(self) -> Path:
        """Its folder of YAML files, which need not exist."""
        package = importlib.import_module(self.package)
        return Path(package.__path__[0], "conf")


@cache
def installed() -> tuple[Plugin, ...]:
    """All plug-ins by name, what they declare being declared."""
    return tuple(_declared(entry) for entry in sorted(entry_points(group=GROUP)))


@cache
def register_all() -> None:
    """Imports every module of every plug-in, so that each registers what it offers. Once."""
    for plugin in usable():
        try:
            with said():
                package = importlib.import_module(plugin.package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{plugin.package}.{module.name}")
        except Exception as error:
            plugin.problem = reason(error)


def usable() -> list[Plugin]:
    """The plug-ins that have not failed so far."""
    return [plugin for plugin in installed() if not plugin.problem]


def problems() -> list[str]:
    """A line for each plug-in that is left out."""
    return [f"plug-in {p.name} {p.version} is left out ({p.problem})" for p in installed() if p.problem]


def _declared(entry: EntryPoint) -> Plugin:
    distribution = entry.dist
    plugin = Plugin(
        distribution.name if distribution else entry.name, distribution.version if distribution else "", entry.value
    )
    try:
        with said():
            importlib.import_module(plugin.package)
    except Exception as error:
        plugin.problem = reason(error)
    return plugin
