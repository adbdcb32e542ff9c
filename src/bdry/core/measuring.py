"""The state in which a model is measured, and the counting of what a measurement costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode with its parameters frozen; modes and flags are as they were afterwards."""
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
    return torch.cat([model(part) for part in x.split(batch_size)])


def evaluate(model: Model, z: Tensor) -> tuple[Tensor, Tensor]:
    """`z` as a leaf that gradients reach, and the logits there, (N, K)."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        return z, model(z)
