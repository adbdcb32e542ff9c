"""The state in which a model is measured, and the counting of what a measurement costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]


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
        ValueError: the output is no floating-point tensor of shape (N, K).
    """
    # a copy: some modules normalise in place
    logits = model(z.clone())
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(z):
        given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"the model must give one row of logits for each of {len(z)} images, not {given}")
    if not logits.is_floating_point():
        raise ValueError(f"the model's logits are {logits.dtype}, which have no gradients")
    if torch.finfo(logits.dtype).bits > torch.finfo(z.dtype).bits:
        logits = logits - logits.detach().amax(1, keepdim=True)
    return logits.to(z.dtype)
