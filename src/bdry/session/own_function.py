"""A function of the user's own that builds a network, found by its name and called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from .._vision import open_door
from ..core.seeds import derive, seeded_globally
from ..errors import ConfigError, did_you_mean
from .classifier_check import in_a_line
from .surroundings import put_back


def call(key: str, name: str, seed: int = 0) -> tuple[nn.Module, str]:
    """What the function `<module>:<function>` gives, and the name of the Python module that the function is from.

    Args:
        key: the setting that names the function, for errors.
        name: `<module>:<function>`; the module is looked for in the current folder first.
        seed: of the weights that it draws.

    Raises:
        ConfigError: no such module or function, calling it failed, or it gives no nn.Module.
    """
    # a module without weights of its own is the same at every start
    with seeded_globally(derive(seed, "init")), torch.enable_grad(), put_back(), _threads_kept():
        function = _function(key, name)
        with in_a_line(lambda said: ConfigError(key, name, f"calling it failed ({said})")):
            module = function()
    if not isinstance(module, nn.Module):
        raise ConfigError(key, name, f"gives a {type(module).__name__}, not a torch.nn.Module")
    return module, function.__module__


@contextmanager
def _threads_kept() -> Iterator[None]:
    """torch's number of threads is afterwards as it was, whatever the user's code sets."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def look_here_first() -> None:
    """Has Python look for modules in the current folder too."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _function(key: str, name: str) -> Callable[[], object]:
    module_name, _, function_name = name.partition(":")
    look_here_first()
    open_door()
    with in_a_line(lambda said: ConfigError(key, name, f"importing {module_name} failed ({said})")):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not module_name.startswith(str(error.name)):
                raise
            problem = f"there is no module {error.name} here or on the Python path"
            raise ConfigError(key, name, problem) from None
    found = getattr(module, function_name, None)
    if callable(found):
        return found
    if hasattr(module, function_name):
        problem = f"{function_name} of {module_name} is a {type(found).__name__}, not a function that gives a module"
    else:
        functions = [name for name, value in vars(module).items() if not name.startswith("_") and callable(value)]
        problem = f"{module_name} has no function {function_name}{did_you_mean(function_name, functions)}"
    raise ConfigError(key, name, problem)
