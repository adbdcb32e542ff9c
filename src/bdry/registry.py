"""Names to builders: what a YAML file calls `name: deepfool` is looked up here, never imported from a string."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from . import plugins
from .errors import UsageError, did_you_mean

B = TypeVar("B", bound=Callable[..., Any])


class Registry(Generic[B]):
    """The builders of one kind (`kind` is the config group's name, as in `arch=lenet`).

    A kind that is no config group declares its names here, `Registry("scenario", "natural", ...)`, so that they are
    known before torch is loaded; a plug-in adds its own by `declare`. Of a config group the YAML files are the names.
    """

    def __init__(self, kind: str, *names: str) -> None:
        self.kind = kind
        self._declared = list(names)
        self._builders: dict[str, B] = {}

    def declare(self, *names: str) -> None:
        """Adds a plug-in's names, whose builders come later; a name can be taken once."""
        for name in names:
            if name in self._declared:
                raise ValueError(f"{self.kind}={name} is declared twice")
            self._declared.append(name)

    def register(self, *names: str) -> Callable[[B], B]:
        """Decorator that files a builder under `names`; a name can be taken once, and is declared if others are."""

        def file(builder: B) -> B:
            for name in names:
                if name in self._builders:
                    raise ValueError(f"{self.kind}={name} is registered twice")
                if self._declared and name not in self._declared:
                    raise ValueError(f"{self.kind}={name} is not among the names declared: {', '.join(self._declared)}")
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
        return iter(self._declared or sorted(self._builders))

    def bound(self, name: str, options: dict[str, Any]) -> Callable[..., Any]:
        """The builder of `name` with `options` filled in; a `UsageError` for the first that it does not take."""
        builder = self[name]
        taken = inspect.signature(builder).parameters
        for option in options:
            if option not in taken:
                raise UsageError(
                    f"{self.kind}.{option}: {self.kind}={name} has no such setting{did_you_mean(option, taken)}"
                )
        return functools.partial(builder, **options)


def import_siblings(package: str, path: Sequence[str]) -> None:
    """Imports every module of `package`, so that each registers what it offers: a new file needs no list."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
