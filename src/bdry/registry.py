"""Names to builders: what a YAML file calls `name: deepfool` is looked up here, never imported from a string."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from . import plugins
from .errors import UsageError, did_you_mean

B = TypeVar("B", bound=Callable[..., Any])


class Registry(Generic[B]):
    """The builders of one kind (`kind` is the config group's name, as in `arch=lenet`)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._builders: dict[str, B] = {}

    def register(self, *names: str) -> Callable[[B], B]:
        """Decorator that files a builder under `names`; a name can be taken once."""

        def file(builder: B) -> B:
            for name in names:
                if name in self._builders:
                    raise ValueError(f"{self.kind}={name} is registered twice")
                self._builders[name] = builder
            return builder

        return file

    def __getitem__(self, name: str) -> B:
        """The builder of `name`; a `UsageError` with the nearest name where there is none."""
        if name not in self._builders:
            plugins.register_all()
        if name not in self._builders:
            hint = did_you_mean(name, self._builders, f"{self.kind}=")
            left_out = "".join(f"; {problem}" for problem in plugins.problems())
            raise UsageError(f"{self.kind}={name}: no such {self.kind}{hint} (choices: {', '.join(self)}){left_out}")
        return self._builders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._builders))

    def check_options(self, name: str, options: dict[str, Any]) -> None:
        """Raises `UsageError` for the first of `options` that the builder of `name` does not take."""
        taken = inspect.signature(self[name]).parameters
        for option in options:
            if option not in taken:
                raise UsageError(
                    f"{self.kind}.{option}: {self.kind}={name} has no such setting{did_you_mean(option, taken)}"
                )


def import_siblings(package: str, path: Sequence[str]) -> None:
    """Imports every module of `package`, so that each registers what it offers: a new file needs no list."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
