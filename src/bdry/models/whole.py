"""A whole network taken apart into a body and a linear head, so that its features can be asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.measuring import measuring

# so many layers are named in an error
MOST_NAMED = 8


def head_of(module: nn.Module, x: Tensor, name: str | None = None) -> str:
    """The name of the linear layer whose output is the logits, the last where several in a row give them.

    Args:
        module: (N, C, H, W) -> (N, K).
        x: (N, C, H, W), on which the layers are tried.
        name: the layer's, as in "fc" or "classifier.6", where it is known; of a module inside a wrapper its own name
            is enough.

    Raises:
        ValueError: there is no such layer, or its output is not the logits.
    """
    linear = {key: layer for key, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    there = [*linear][-MOST_NAMED:]
    listed = f" (linear layers: {', '.join(there)})" if there else " (it has no nn.Linear)"
    if name is not None and name not in linear:
        inside = [key for key in linear if key.endswith(f".{name}")]
        if len(inside) != 1:
            raise ValueError(f"head={name}: no linear layer of it has this name{listed}")
        name = inside[0]
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, key=key: outputs.update({key: output}))
        for key, layer in linear.items()
    ]
    try:
        with torch.no_grad(), measuring(module):
            logits = module(x.clone())
    finally:
        for hook in hooks:
            hook.remove()
    found = [key for key, output in outputs.items() if name in (None, key) and _same(output, logits)]
    if not found and name is not None:
        raise ValueError(f"head={name}: its outputs are not the module's logits")
    if not found:
        raise ValueError(f"no linear layer of it gives its logits, which this needs{listed}")
    return found[-1]


def _same(output: object, logits: Tensor) -> bool:
    """Whether a layer's output is the logits, which may have been given another precision since."""
    if not isinstance(output, Tensor) or output.shape != logits.shape:
        return False
    return torch.equal(output.to(logits.dtype), logits)


def split_at_head(module: nn.Module, x: Tensor, name: str | None = None) -> tuple[nn.Module, nn.Linear]:
    """The body and the linear head of a network, (N, C, H, W) -> (N, K): head(body(x)) is what the module gave.

    The body is the module itself, in which the head is replaced by `nn.Identity`.

    Args:
        module: its last layer is an `nn.Linear`, somewhere in it. It is changed.
        x: (N, C, H, W), on which the layers are tried.
        name: of the head; None: found. See `head_of`.

    Raises:
        ValueError: there is no such layer, or the logits are not its output for one vector an image.
    """
    name = head_of(module, x, name)
    head = module.get_submodule(name)
    if not name or not isinstance(head, nn.Linear):
        raise ValueError("it is one linear layer: put nn.Flatten before it, in an nn.Sequential")
    with torch.no_grad(), measuring(module):
        logits = module(x.clone())
    module.set_submodule(name, nn.Identity())
    problem = f"the network without its head {name} does not give one vector of features an image"
    try:
        with torch.no_grad(), measuring(module):
            features = module(x.clone())
            same = features.ndim == 2 and torch.equal(head(features), logits)
    except Exception as error:
        raise ValueError(f"{problem} ({type(error).__name__})") from None
    if not same:
        raise ValueError(problem)
    return module, head
