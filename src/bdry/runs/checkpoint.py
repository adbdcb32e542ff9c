"""Checkpoints as safetensors: tensors and a few strings, no pickle on the way in or out."""

from __future__ import annotations

import copy
import errno
import json
import pickle
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import RunError, one_line
from .files import replacing
from .reading import PARSING, regular

FORMAT = "bdry-checkpoint-1"
# torch's own files, and under which names trainers keep the weights in them
PICKLED = (".pt", ".pth")
STATE_DICTS = ("state_dict", "model_state_dict", "model")


class DamagedError(RunError):
    """A file that is no safetensors file, or not a whole one."""

    def __init__(self, path: Path, error: BaseException) -> None:
        self.reason = one_line(error)
        super().__init__(f"{path}: damaged or not a checkpoint ({self.reason}); delete it to start this run again")


def save_classifier(path: Path, classifier: nn.Module, run: str, step: int) -> None:
    """Writes the classifier's weights and buffers, with the run's name and the step."""
    _save(path, _prefixed("model", classifier.state_dict()), {"run": run, "step": str(step)})


def save_training(
    path: Path, classifier: nn.Module, optimiser: torch.optim.Optimizer, run: str, state: dict[str, Any]
) -> None:
    """Writes all that training needs to go on: weights, the optimiser's tensors, and `state` (numbers)."""
    tensors = _prefixed("model", classifier.state_dict())
    packed = optimiser.state_dict()
    for parameter, slots in packed["state"].items():
        tensors |= {f"optim.{parameter}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    _save(path, tensors, {"run": run, "step": str(state["step"]), "state": json.dumps(state)})


def load_classifier(path: Path, classifier: nn.Module, run: str) -> int:
    """Fills the classifier's weights from a checkpoint of the run `run`; the step it was written at."""
    tensors, metadata = _load(path, run, room=_room(classifier))
    _fill(path, classifier, tensors)
    return _step(path, metadata)


def checkpoint_step(path: Path, run: str) -> int:
    """The step that a checkpoint of the run `run` was written at."""
    _, metadata = _load(path, run, names=())
    return _step(path, metadata)


def load_weights(path: Path, module: nn.Module) -> None:
    """Fills any module from a file of its state dict: safetensors, a checkpoint of bdry, or torch's .pt or .pth.

    Of a .pt or .pth file nothing but tensors and plain data is read (`weights_only`); a state dict may stand in it
    under one of `STATE_DICTS`.
    """
    if path.suffix in PICKLED:
        tensors = _prefixed("model", _read_pickled(path, room=_room(module)))
    else:
        try:
            tensors, metadata = _read(path, room=_room(module))
        except DamagedError as error:
            raise RunError(f"{path}: {_no_safetensors(path, error.reason)}") from None
        if metadata.get("format") != FORMAT:
            tensors = _prefixed("model", tensors)
    _fill(path, module, tensors)


def _no_safetensors(path: Path, why: str) -> str:
    """What is wrong with a file of weights: torch.save's is told by its first bytes, a ZIP's or a pickle's."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(2) in (b"PK", b"\x80\x02"):
            return "a file of torch.save, whose name must end in .pt or .pth"
    return f"not a whole safetensors file ({why})"


def _read_pickled(path: Path, room: int) -> dict[str, Tensor]:
    try:
        found = torch.load(regular(path, room), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, *PARSING) as error:
        reason = one_line(error)[:120]
        if isinstance(error, pickle.UnpicklingError):
            # torch's own text speaks of its options, over many lines
            reason = "of other things than tensors, such as a whole module; write torch.save(module.state_dict(), ...)"
        raise RunError(f"{path}: not a state dict that is safe to read ({reason})") from None
    if isinstance(found, dict):
        found = next((found[key] for key in STATE_DICTS if isinstance(found.get(key), dict)), found)
    if not isinstance(found, dict) or not found or not all(isinstance(one, Tensor) for one in found.values()):
        raise RunError(f"{path}: no state dict; write it with torch.save(module.state_dict(), ...)")
    return {str(name): tensor for name, tensor in found.items()}


def load_training(
    path: Path, classifier: nn.Module, optimiser: torch.optim.Optimizer, run: str, like: dict[str, Any]
) -> dict[str, Any]:
    """Fills classifier and optimiser; the numbers that `save_training` was given, which have the types of `like`.

    Raises `RunError` for a file that is damaged or not a checkpoint of this run.
    """
    tensors, metadata = _load(path, run, room=_room(classifier))
    try:
        state: dict[str, Any] = json.loads(metadata["state"])
        if {name: type(value) for name, value in state.items()} != {name: type(like[name]) for name in like}:
            raise ValueError(f"its state is {state}")
        if state["step"] != _step(path, metadata):
            raise ValueError(f"its steps are {state['step']} and {metadata['step']}")
        slots: dict[int, dict[str, Tensor]] = {}
        for key in filter(lambda key: key.startswith("optim."), tensors):
            _, parameter, slot = key.split(".", 2)
            slots.setdefault(int(parameter), {})[slot] = tensors[key]
    except PARSING as error:
        raise DamagedError(path, error) from None
    _fill(path, classifier, tensors)
    if _layout(slots) != _layout(_slots_after_a_step(copy.deepcopy(optimiser), set(slots))):
        raise RunError(f"{path}: its optimiser's state does not fit this optimiser")
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    return state


def _slots_after_a_step(optimiser: torch.optim.Optimizer, moved: set[int]) -> dict[int, dict[str, Tensor]]:
    """What the optimiser keeps for each parameter once it has made a step.

    moved: the numbers of the parameters that had a gradient; a frozen one has none.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number in moved & set(range(len(parameters))):
        parameters[number].grad = torch.zeros_like(parameters[number])
    optimiser.step()
    slots: dict[int, dict[str, Tensor]] = optimiser.state_dict()["state"]
    return slots


def _layout(slots: dict[int, dict[str, Tensor]]) -> dict[tuple[int, str], tuple[torch.Size, torch.dtype]]:
    return {(n, name): (value.shape, value.dtype) for n, of_one in slots.items() for name, value in of_one.items()}


def _room(module: nn.Module) -> int:
    """Bytes that a checkpoint of the module may have: its weights and whatever an optimiser keeps, several times."""
    return 2**20 + 8 * sum(tensor.nbytes for tensor in module.state_dict().values())


def _step(path: Path, metadata: dict[str, str]) -> int:
    step = metadata.get("step", "")
    if not step.isdecimal():
        raise DamagedError(path, ValueError(f"its step is {step!r}"))
    return int(step)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    on_cpu = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(on_cpu, temporary, metadata={"format": FORMAT, **metadata})
        except SafetensorError as error:
            # its words for what the system refused, such as a full disk
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else errno.EIO, one_line(error)) from None


def _read(
    path: Path, names: Collection[str] | None = None, room: int | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(regular(path, room), framework="pt") as file:
            metadata = file.metadata() or {}
            wanted = file.keys() if names is None else names
            return {name: file.get_tensor(name) for name in wanted}, metadata
    except (SafetensorError, OSError, *PARSING) as error:
        raise DamagedError(path, error) from None


def _load(
    path: Path, run: str, names: Collection[str] | None = None, room: int | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, metadata = _read(path, names, room)
    if metadata.get("format") != FORMAT:
        raise RunError(f"{path}: not a checkpoint of bdry")
    if metadata.get("run") != run:
        renamed = "if its folder was renamed, give it that name again"
        raise RunError(f"{path}: a checkpoint of the run {metadata.get('run')}, not of {run}; {renamed}")
    return tensors, metadata


def _fill(path: Path, classifier: nn.Module, tensors: dict[str, Tensor]) -> None:
    prefix = "model."
    weights = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    wanted = classifier.state_dict()
    for name in [*wanted, *weights]:
        shapes = [str(tuple(each[name].shape)) if name in each else "not there" for each in (weights, wanted)]
        if shapes[0] != shapes[1]:
            difference = f"{name} is {shapes[0]} in the file, {shapes[1]} in the module"
            raise RunError(f"{path}: its weights do not fit this architecture ({difference})")
    try:
        classifier.load_state_dict(weights)
    except RuntimeError:
        raise RunError(f"{path}: its weights do not fit this architecture") from None
