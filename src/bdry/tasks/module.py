"""A classifier of the user's own: imported by name, filled from safetensors, tried on an image."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..core.measuring import measuring
from ..core.seeds import derive, seeded_globally
from ..data import Dataset
from ..errors import ConfigError, did_you_mean
from ..runs.checkpoint import load_weights


def build_module(name: str, weights: str | None, dataset: Dataset) -> nn.Module:
    """The module that `<module>:<function>` builds, on the data set's device, in eval mode.

    Raises:
        ConfigError: no such module or function, or what it gives is not a classifier of the data set's images.
        RunError: the weights are missing, no safetensors file, or do not fit.
    """
    function = _function(name)
    try:
        # a module without weights of its own is the same at every start
        with seeded_globally(derive(0, "init")):
            module = function()
    except Exception as error:
        raise ConfigError("classifier", name, f"calling it failed ({_first_line(error)})") from None
    if not isinstance(module, nn.Module):
        raise ConfigError("classifier", name, f"gives a {type(module).__name__}, not a torch.nn.Module")
    if weights is not None:
        load_weights(Path(weights).expanduser(), module)
    module = module.to(dataset.train.labels.device).eval()
    _try(name, module, dataset)
    return module


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the state dict: the same weights from another file are the same classifier."""
    digest = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{key}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _function(name: str) -> Callable[[], object]:
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and module_name.startswith(str(error.name)):
            problem = f"there is no module {error.name} here or on the Python path"
        else:
            problem = f"importing {module_name} failed ({_first_line(error)})"
        raise ConfigError("classifier", name, problem) from None
    function: Callable[[], object] | None = getattr(module, function_name, None)
    if not callable(function):
        hint = did_you_mean(function_name, [key for key in vars(module) if not key.startswith("_")])
        raise ConfigError("classifier", name, f"{module_name} has no function {function_name}{hint}")
    return function


def _try(name: str, module: nn.Module, dataset: Dataset) -> None:
    shape = "x".join(map(str, dataset.image_shape))
    try:
        with measuring(module), torch.no_grad():
            logits = module(dataset.test[:2].pixels())
    except Exception as error:
        problem = f"fails on images of {shape} from {dataset.name} ({_first_line(error)})"
        raise ConfigError("classifier", name, problem) from None
    wanted = (len(dataset.test[:2]), dataset.num_classes)
    if not isinstance(logits, torch.Tensor) or logits.shape != wanted:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError("classifier", name, f"gives {given} for 2 images of {dataset.name}, not logits of {wanted}")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
