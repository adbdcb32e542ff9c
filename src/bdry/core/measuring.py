"""The state in which a model is measured, and the counting of what a measurement costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from ..errors import out_of_memory

Model = Callable[[Tensor], Tensor]

# images of more numbers come with networks of which a single look takes long
MANY_PIXELS = 1024


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode with its parameters frozen; modes and flags are as they were afterwards.

    Args:
        model: what is measured inside the `with`.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        with torch.autocast(device_type=_device_type(model), enabled=False):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def with_gradients() -> Iterator[None]:
    """Gradients are computed inside, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def in_channels_last(model: nn.Module) -> nn.Module:
    """A copy of `model` whose weights lie channels last in memory: on a CPU its convolutions are the quickest so."""
    return copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _device_type(model: nn.Module) -> str:
    parameter = next(model.parameters(), None)
    return "cpu" if parameter is None else parameter.device.type


@torch.no_grad()
def logits_in_batches(model: Model, x: Tensor, batch_size: int) -> Tensor:
    """The logits of all of `x`, (N, ...) -> (N, K), computed `batch_size` at a time without gradients."""
    return torch.cat([logits_of(model, part) for part in x.split(batch_size)])


def evaluate(model: Model, z: Tensor, *, graph: bool = True) -> tuple[Tensor, Tensor]:
    """`z` as a leaf that gradients reach, if a `graph` is wanted, and the logits there, (N, K)."""
    with torch.set_grad_enabled(graph):
        z = z.detach().requires_grad_(graph)
        return z, logits_of(model, z)


def logits_of(model: Model, z: Tensor) -> Tensor:
    """The logits at z, (N, ...) -> (N, K), in z's dtype; `model` may write into its input.

    Logits of a longer dtype are taken relative to the largest before they are shortened: their differences count.

    Raises:
        ValueError: the output is no floating-point tensor of shape (N, K) with two classes at least, or the weights
            are of another dtype than z.
    """
    try:
        # a copy: some modules normalise in place
        logits = model(z.clone())
    except RuntimeError as error:
        weights = {weight.dtype for weight in model.parameters()} if isinstance(model, nn.Module) else set()
        # a module may cast its input: another dtype is no fault until it fails by it, and it may fail by something else
        if "type" not in str(error) or out_of_memory(error) or len(weights) != 1 or z.dtype in weights:
            raise
        wanted = weights.pop()
        # images are float32 or float64 everywhere
        way = f"x.to({wanted})" if wanted in (torch.float32, torch.float64) else "model.float()"
        raise ValueError(f"x is {z.dtype}, the model's weights are {wanted}: give {way}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(z):
        given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"the model must give one row of logits for each of {len(z)} images, not {given}")
    if not logits.is_floating_point():
        raise ValueError(f"the model's logits are {logits.dtype}, which have no gradients")
    if logits.shape[1] < 2:
        raise ValueError(f"the model gives logits of shape {tuple(logits.shape)}: a boundary lies between two classes")
    if torch.finfo(logits.dtype).bits > torch.finfo(z.dtype).bits:
        logits = logits - logits.detach().amax(1, keepdim=True)
    return logits.to(z.dtype)


@torch.no_grad()
def logits_in_float64(model: Model, z: Tensor) -> Tensor | None:
    """The logits at float32 z, (N, ...) -> (N, K), as the model's own steps give them in float64: free of rounding.

    Weights and all that the model computes are float64 for this pass; the model itself is left as it was. None where
    that cannot be: the model does not run in float64, or not on this device, or z is float64 already.
    """
    if z.dtype != torch.float32:
        return None
    try:
        with _unchanged(model), _InFloat64():
            logits = logits_of(model, z.double())
    except Exception:
        # a module may raise anything where numbers are not of its dtype
        return None
    return logits if bool(logits.isfinite().any()) else None


class _InFloat64(TorchFunctionMode):
    """Every float32 tensor that a function of torch takes or gives is float64, and so is a dtype that is named."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(_doubled, (args, kwargs or {}))
        return tree_map(_doubled, (Tensor.double if func is Tensor.float else func)(*args, **kwargs))


def _doubled(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    return torch.float64 if value is torch.float32 else value


@contextmanager
def _unchanged(model: Model) -> Iterator[None]:
    """What the parts of a module hold is afterwards what it was: a forward pass may keep tensors."""
    parts = list(model.modules()) if isinstance(model, nn.Module) else []
    held = [(part, dict(vars(part))) for part in parts]
    # its buffers are in a dict too
    kept = [(one, copy.copy(one)) for part in parts for one in vars(part).values() if type(one) in (dict, list, set)]
    try:
        yield
    finally:
        for part, attributes in held:
            for name in vars(part).keys() - attributes.keys():
                delattr(part, name)
            vars(part).update(attributes)
        for one, before in kept:
            one.clear()
            (one.extend if isinstance(one, list) else one.update)(before)
