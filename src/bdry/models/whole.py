"""A whole network taken apart into a body and a linear head, so that its features can be asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.measuring import measuring


def split_at_head(module: nn.Module, x: Tensor, name: str | None = None) -> tuple[nn.Module, nn.Linear]:
    """The body and the linear head of a network, (N, C, H, W) -> (N, K): head(body(x)) is what the module gave.

    The body is the module itself, in which the head is replaced by `nn.Identity`.

    Args:
        module: its last layer is an `nn.Linear`, somewhere in it. It is changed.
        x: (N, C, H, W), on which the layers are tried.
        name: of the head in the module, as in "fc" or "classifier.6"; None: the layer whose output is the logits.

    Raises:
        ValueError: there is no such layer, or the logits are not its output for one vector an image.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, given: object, output: Tensor) -> None:
            outputs[name] = output

        return hook

    layers = {key: layer for key, layer in module.named_modules() if isinstance(layer, nn.Linear) and key}
    hooks = [layer.register_forward_hook(keep(key)) for key, layer in layers.items()]
    with torch.no_grad(), measuring(module):
        logits = module(x.clone())
    for hook in hooks:
        hook.remove()
    if name is not None and name not in layers:
        raise ValueError(f"there is no nn.Linear of this name in it (there are {', '.join(layers) or 'none'})")
    found = [key for key, output in outputs.items() if output.shape == logits.shape and torch.equal(output, logits)]
    found = [key for key in found if name in (None, key)]
    if not found:
        what = "no nn.Linear in it gives" if name is None else "this layer does not give"
        raise ValueError(f"{what} its logits: bdry needs a network that ends in an nn.Linear")
    head = layers[found[-1]]
    module.set_submodule(found[-1], nn.Identity())
    problem = f"the network without its head {found[-1]} does not give one vector of features an image"
    try:
        with torch.no_grad(), measuring(module):
            features = module(x.clone())
            same = features.ndim == 2 and torch.equal(head(features), logits)
    except Exception as error:
        raise ValueError(f"{problem} ({type(error).__name__})") from None
    if not same:
        raise ValueError(problem)
    return module, head
