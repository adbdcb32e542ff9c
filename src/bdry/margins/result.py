"""The contract of all margin estimators, and the door that checks what they are given.

    estimator(model, x, start_class=None, *, norm="l2", clipped=False, towards=None, **settings) -> MarginResult

`model(x) -> logits` is in the state that `core.measuring` makes; the door puts a module into it. `x` is (N, C, H, W)
in the [0, 1] box. The margin of an image is its distance, in `norm`, to the nearest point that the model gives another
label than `start_class`, by default the label that it predicts for the image (right or wrong): in R^d, or inside the
box where `clipped`. With `towards`, a class for each image, it is the distance to the region of that class instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from ..core.measuring import Model, logits_of, measuring, with_gradients
from ..core.norms import check_norm
from ..names import NORMS
from ..registry import Registry


@dataclass(frozen=True)
class MarginResult:
    """Bounds on the margins of N images, one row per image, in pixel units of [0, 1].

    margin: (N,), an upper bound: the distance to `point`, which is 0 where the image itself has another label than
        its start class; nan where the estimator failed, never 0 in its place.
    lower: (N,), a certified lower bound; nan from estimators that certify nothing.
    overshot: (N,), distance of the end point before bisection; nan where it failed.
    point: (N, ...), just beyond the boundary: its label is `boundary_class`, alone and in a batch. nan where it failed.
    start_class, boundary_class: (N,) int64; the latter -1 where it failed.
    success: (N,) bool. iterations, forwards, backwards: (N,) int64, what it took and what it cost.
    """

    margin: Tensor
    lower: Tensor
    overshot: Tensor
    point: Tensor
    start_class: Tensor
    boundary_class: Tensor
    success: Tensor
    iterations: Tensor
    forwards: Tensor
    backwards: Tensor


class Estimator(Protocol):
    """What every estimator can be called with; an estimator's own settings are further keyword arguments."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        start_class: Tensor | None = None,
        *,
        norm: str = "l2",
        clipped: bool = False,
        towards: Tensor | None = None,
    ) -> MarginResult:
        """See the contract above.

        Raises:
            ValueError: the norm, the images or the classes are not what the contract says.
        """


E = TypeVar("E", bound=Estimator)


@dataclass(frozen=True)
class Abilities:
    """What an estimator takes and gives, declared where it is registered.

    norms: in which it measures. model: "any" function with gradients, a "piecewise linear" module (see
        `network.trace`), or an "affine" function. num_pixels: of an image; None: any number.
    finds_points: its `margin` is the distance of a point. certifies: its `lower` holds.
    tolerance: relative, to which both are the closed form on affine classifiers at common distances.
    """

    norms: tuple[str, ...] = NORMS
    model: str = "any"
    num_pixels: int | None = None
    finds_points: bool = True
    certifies: bool = False
    tolerance: float = 0.05


class Estimators(Registry[Estimator]):
    """name -> estimator; the option's settings are its keyword arguments. All of them stand behind one door."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._abilities: dict[str, Abilities] = {}

    def abilities(self, name: str) -> Abilities:
        """What the estimator `name` takes and gives."""
        # a plug-in's is registered when it is first asked for
        _ = self[name]
        return self._abilities[name]

    def register(self, *names: str, abilities: Abilities | None = None) -> Callable[[E], E]:
        """Decorator that files an estimator under `names` and checks its arguments at every call.

        abilities: None: those of a search by gradients.
        """
        file = super().register(*names)
        self._abilities |= dict.fromkeys(names, abilities or Abilities())

        def guard(estimator: E) -> E:
            @functools.wraps(estimator)
            def behind_door(
                model: Model, x: Tensor, start_class: Tensor | None = None, *, norm: str = "l2", **settings: Any
            ) -> MarginResult:
                _check_images(x, norm)
                with with_gradients(), measuring(model) if isinstance(model, nn.Module) else nullcontext():
                    # of an image that was made in inference mode there are no gradients
                    images = x.clone() if x.is_inference() else x.detach()
                    _check_classes(model, images, start_class=start_class, towards=settings.get("towards"))
                    return estimator(model, images, start_class, norm=norm, **settings) if len(x) else _of_no_image(x)

            return cast(E, file(behind_door))

        return guard


ESTIMATORS = Estimators("margin")


def unguarded(estimator: E) -> E:
    """The estimator behind its door: for callers that look at points of R^d outside the box.

    Args:
        estimator: one that `ESTIMATORS` holds.
    """
    return cast(E, getattr(estimator, "__wrapped__", estimator))


def _of_no_image(x: Tensor) -> MarginResult:
    numbers, counts = x.new_empty(0), torch.empty(0, dtype=torch.int64, device=x.device)
    point, success = x.detach().clone(), counts.bool()
    return MarginResult(numbers, numbers, numbers, point, counts, counts, success, counts, counts, counts)


def _check_images(x: Tensor, norm: str) -> None:
    check_norm(norm)
    if not isinstance(x, Tensor):
        raise ValueError(f"x is a {type(x).__name__}: images must be a torch.Tensor, as torch.as_tensor(x) gives")
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x is {x.dtype}: images must be float32 or float64, in [0, 1]")
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(f"x has shape {tuple(x.shape)}: must be (N, C, H, W)")
    # an image that is not a number is a failure of its own
    outside = x.detach()[x.detach().isfinite() & ((x.detach() < 0) | (x.detach() > 1))]
    if len(outside):
        raise ValueError(f"x holds the value {outside[0].item():.9g}: images must lie in [0, 1]")


def _check_classes(model: Model, x: Tensor, **given: Tensor | None) -> None:
    for name, classes in given.items():
        if classes is None:
            continue
        if not isinstance(classes, Tensor):
            raise ValueError(f"{name} is a {type(classes).__name__}: must be a torch.Tensor of int64")
        if classes.shape != x.shape[:1]:
            raise ValueError(f"{name} has shape {tuple(classes.shape)}: must be ({len(x)},), a class for each image")
        if classes.dtype != torch.int64:
            raise ValueError(f"{name} is {classes.dtype}: must be int64")
        with torch.no_grad():
            num_classes = logits_of(model, x[:1]).shape[1] if len(x) else 0
        wrong = classes[(classes < 0) | (classes >= num_classes)]
        if len(wrong):
            raise ValueError(f"{name} holds {wrong[0].item()}: the model has the classes 0 to {num_classes - 1}")
