"""A user's module as features and a last linear layer, which the studies of either need."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from ..models import Classifier, head_of


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
    name = head_of(module, images, head)
    layer = copy.deepcopy(module.get_submodule(name)).to(images.dtype)
    assert isinstance(layer, nn.Linear)
    return Classifier(nn.Identity(), WhatTheHeadSees(module, name), layer).eval()
