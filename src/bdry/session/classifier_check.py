"""Can this module be measured? Looks at it on a few images; what a user should know is said, or it is refused.

>>> model, notes = check_classifier(module, images)      # images: (N, C, H, W), float, in [0, 1]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from ..core.measuring import logits_of, measuring
from ..errors import BdryError, first_line
from ..leaving import staying
from .surroundings import put_back

# by how much of the largest logit two looks at the same images may differ: kernels round differently by batch size
ROUNDING = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
# so far from 1 may a row of probabilities sum
SUM_OF_ONE = 1e-3


class UnmeasurableError(ValueError):
    """A module that cannot be measured, and why."""


# how often this process has been forked
_forks = [0]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _forks.append(_forks.pop() + 1))


@contextmanager
def in_a_line(refused: Callable[[str], Exception]) -> Iterator[None]:
    """Whatever a user's code raises inside is the error that `refused` makes of its kind and first line.

    Ctrl-C passes, and what is a line already. `os._exit`, which would end this process without a word, raises too.
    """
    try:
        with staying():
            yield
    except (KeyboardInterrupt, BdryError, UnmeasurableError):
        raise
    except BaseException as error:
        raise refused(first_line(error)) from None


class Measurable(nn.Module):
    """A user's module as estimators need it.

    It sees a copy of the images, its logits have their dtype, and a logit of -inf is a finite one below the others.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K)."""
        logits = logits_of(self.module, x)
        masked = logits == -torch.inf
        # below the least of the others by their spread: no boundary leads there, and rounding stays what it was
        least = logits.masked_fill(masked, torch.inf).amin(1, keepdim=True)
        spread = (logits.amax(1, keepdim=True) - least).detach()
        return torch.where(masked, least - spread, logits)


def check_classifier(
    module: nn.Module, images: Tensor, num_classes: int | None = None, *, called: str = "images"
) -> tuple[nn.Module, list[str]]:
    """The module as it can be measured, and what its user should know of it, a line each.

    The module itself is given back, or behind `Measurable` where it changes its input in place or its logits have
    another dtype than the images or are -inf. Parameters, modes, images and the global random state are afterwards as
    they were.

    Args:
        module: gives logits for images in [0, 1].
        images: (N, C, H, W), float, at least two.
        num_classes: K, the number of logits that there should be; None: any, from two on.
        called: what errors call the images.

    Raises:
        UnmeasurableError: a ValueError. The module fails on these images, gives no logits of K classes or no gradients,
            or gives other logits at a second look, in a batch of another size or at another place in it.
    """
    refused = in_a_line(lambda said: UnmeasurableError(f"fails on {called} ({said})"))
    with refused, put_back() as changed, torch.random.fork_rng():
        if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
            raise UnmeasurableError("has parameters that its first batch makes (LazyLinear?): show it one beforehand")
        with measuring(module):
            with torch.no_grad():
                logits = _first_look(module, images[:2].clone())
            if changed():
                raise UnmeasurableError(f"changes {changed()[0]} in its forward, for all that comes after it")
            _check_logits(logits, num_classes, called)
            return _checked(module, images)


def _first_look(module: nn.Module, images: Tensor) -> object:
    """What the module gives; raises `UnmeasurableError` where it starts processes, which would measure too."""
    process, forks = os.getpid(), _forks[0]
    logits = module(images)
    if os.getpid() != process:
        # a process that the forward has made, and that came back from it
        os._exit(0)
    if _forks[0] != forks:
        raise UnmeasurableError("forks this process in its forward")
    return logits


def _checked(module: nn.Module, images: Tensor) -> tuple[nn.Module, list[str]]:
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    seen = images.clone()
    version = seen._version
    with torch.no_grad():
        logits = module(seen)
    if not logits.is_floating_point():
        kind = "complex" if logits.is_complex() else "whole"
        raise UnmeasurableError(f"its logits are {kind} numbers ({_name(logits)}), not real ones that have gradients")
    # the version counts writes, also those that have changed no value, but not those through .data or numpy
    in_place = seen._version != version or not torch.equal(seen, images)
    masked = bool((logits == -torch.inf).any())
    measurable = Measurable(module) if in_place or masked or logits.dtype != images.dtype else module
    _check_again(measurable, images, ROUNDING.get(logits.dtype, 1e-4))
    steepness = _gradient_note(measurable, images)
    notes = [] if not in_place else ["it changes its input in place; it is given copies"]
    # whole numbers count, as batch-norm does its batches
    changed = [
        name
        for name, buffer in module.named_buffers()
        if name in buffers and buffer.is_floating_point() and _differ(buffer, buffers[name], 0.0)
    ]
    if changed:
        notes.append(f"its buffer {changed[0]} changes with every look, in eval mode too: results depend on the order")
    if logits.dtype != images.dtype:
        notes.append(f"its logits are {_name(logits)}: margins are no finer than its rounding")
    return measurable, notes + _notes(logits.to(images.dtype)) + steepness


def _check_logits(logits: object, num_classes: int | None, called: str) -> None:
    """Raises `UnmeasurableError` for what are no logits of two images."""
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == 2
    if not isinstance(logits, Tensor) or not fits or num_classes not in (None, logits.shape[1]):
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        hint = "; it has them as .logits: a module around it gives these" if hasattr(logits, "logits") else ""
        raise UnmeasurableError(f"gives {given} for 2 {called}, not logits of (2, {num_classes or 'K'}){hint}")
    if logits.shape[1] < 2:
        raise UnmeasurableError("gives a single logit an image; a boundary lies between two classes")


def _check_again(measurable: nn.Module, images: Tensor, rounding: float) -> None:
    """Raises `UnmeasurableError` where an image gets other logits at a second look, or in another batch or place."""
    with torch.no_grad():
        logits = measurable(images)
        if _differ(measurable(images), logits, rounding):
            raise UnmeasurableError("gives other logits at a second look at an image (dropout or noise in eval mode?)")
        if _differ(measurable(images.flip(0)).flip(0), logits, rounding):
            raise UnmeasurableError("gives an image other logits at another place in the batch")
        for size in (1, len(images) // 2 + 1):
            found = measurable(images[:size])
            if found.shape != logits[:size].shape:
                shapes = f"{tuple(found.shape)} for a batch of {size}, not {tuple(logits[:size].shape)}"
                raise UnmeasurableError(f"gives {shapes}")
            if _differ(found, logits[:size], rounding):
                raise UnmeasurableError(
                    f"gives an image other logits in a batch of {size} than in one of {len(images)} (statistics of the "
                    "batch in eval mode?)"
                )


def _differ(a: Tensor, b: Tensor, rounding: float) -> bool:
    scale = b[b.isfinite()].abs().amax().item() if bool(b.isfinite().any()) else 0.0
    return not torch.allclose(a, b, rtol=0, atol=rounding * scale, equal_nan=True)


def _gradient_note(measurable: nn.Module, images: Tensor) -> list[str]:
    """Where gradients lead nowhere; raises `UnmeasurableError` where there are none."""
    with torch.enable_grad():
        leaf = images.clone().requires_grad_(True)
        logits = measurable(leaf)
        if not logits.requires_grad:
            raise UnmeasurableError("gives logits without gradients (is its forward under torch.no_grad, or detached?)")
        # a sum in which neither the classes' sum of 1 nor one class alone can hide what moves
        weights = torch.arange(1.0, logits.shape[1] + 1, dtype=logits.dtype, device=logits.device)
        known = logits.masked_fill(~logits.isfinite(), 0.0)
        (gradient,) = torch.autograd.grad((known * weights).sum(), leaf, allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        return [
            "its logits have the gradient 0 (rounded, or detached from the image?): little can be found by gradients"
        ]
    undefined = ~gradient.flatten(1).isfinite().all(1) & logits.detach().isfinite().all(1)
    if bool(undefined.any()):
        return [f"its gradients are not finite at {int(undefined.sum())} of {len(images)} images: none is found there"]
    return []


def _notes(logits: Tensor) -> list[str]:
    """What is odd about the logits of some images; raises `UnmeasurableError` where none is a number."""
    undefined = (logits.isnan() | (logits == torch.inf)).any(1)
    kind = "nan" if bool(logits.isnan().any()) else "inf"
    if bool(undefined.all()):
        raise UnmeasurableError(f"its logits are {kind}: no class is predicted")
    notes = []
    if bool(undefined.any()):
        notes.append(f"logits of {int(undefined.sum())} of {len(logits)} images are {kind}: these have no margin")
    known = logits[~undefined]
    masked = (known == -torch.inf).all(0).nonzero()[:, 0].tolist()
    if masked:
        notes.append(f"class {', '.join(map(str, masked))} has the logit -inf always: no boundary leads there")
    if len(known) > 1 and bool((known == known[0]).all()):
        notes.append("its logits are the same for all of these images: is there a boundary to find?")
    if bool((known >= 0).all()) and bool(((known.sum(1) - 1).abs() < SUM_OF_ONE).all()):
        notes.append("its outputs are probabilities; give logits: behind a softmax margins are found less well")
    return notes


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
