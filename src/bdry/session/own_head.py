"""A user's module as features and a last linear layer, which the studies of either need."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..core.measuring import measuring
from ..models import Classifier
from .classifier_check import ROUNDING

# so many layers are named in an error
MOST_NAMED = 8


class WhatTheHeadSees(nn.Module):
    """The input of one layer of a module, (N, F), in the dtype of the images."""

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        self.module, self.head = module, head

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F)."""
        seen: list[Tensor] = []
        layer = self.module.get_submodule(self.head)
        hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.module(x)
        finally:
            hook.remove()
        return seen[-1].to(x.dtype)


def with_head(module: nn.Module, images: Tensor, head: str | None) -> Classifier:
    """The module as a `Classifier`: `forward(x) = head(features(x))`, with a copy of its last linear layer.

    Args:
        module: gives logits, as `check_classifier` lets it pass.
        images: (N, C, H, W), float, on which the layer is looked for.
        head: the layer's name, as `named_modules` has it; None: the linear layer whose outputs are the logits.

    Raises:
        ValueError: there is no such layer, or its outputs are not the logits.
    """
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    if head is not None and head not in linear:
        # behind a normalisation of ours every name has something before it
        inside = [name for name in linear if name.endswith(f".{head}")]
        head = inside[0] if len(inside) == 1 else head
    if head is not None and head not in linear:
        raise ValueError(f"head={head}: no linear layer of it has this name{_named(linear)}")
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: outputs.update({name: output}))
        for name, layer in linear.items()
    ]
    try:
        with torch.no_grad(), measuring(module):
            logits = module(images)
    finally:
        for hook in hooks:
            hook.remove()
    # the last of those that give the logits, where one is behind another that changes nothing
    found = [name for name, output in outputs.items() if head in (None, name) and _same(output, logits)]
    if not found and head is not None:
        raise ValueError(f"head={head}: its outputs are not the module's logits")
    if not found:
        raise ValueError(f"no linear layer of it gives its logits, which this needs{_named(linear)}")
    layer = copy.deepcopy(linear[found[-1]]).to(images.dtype)
    return Classifier(nn.Identity(), WhatTheHeadSees(module, found[-1]), layer).eval()


def _same(output: object, logits: Tensor) -> bool:
    if not isinstance(output, Tensor) or output.shape != logits.shape:
        return False
    rounding = max(ROUNDING.get(output.dtype, 1e-4), ROUNDING.get(logits.dtype, 1e-4))
    return torch.allclose(output.to(logits.dtype), logits, rtol=0, atol=rounding * float(logits.abs().amax()))


def _named(linear: dict[str, nn.Linear]) -> str:
    names = [*linear][-MOST_NAMED:]
    return f" (linear layers: {', '.join(names)})" if names else " (it has no nn.Linear)"
