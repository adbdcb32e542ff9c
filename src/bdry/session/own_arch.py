"""`arch=module`: a whole network of the user's own, trained as any other.

Its code is part of the run's identity: an edited network is another experiment. A run's folder may come from a
stranger, who must not choose what is called here: the code is compared with the run's before it is imported.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..data import Dataset
from ..errors import ConfigError, RunError
from ..models import Classifier, Normalise, split_at_head
from ..settings import OwnArch, TrainConfig
from .classifier_check import UnmeasurableError, check_classifier, in_a_line
from .digests import code_digest, settings_digest, weights_digest
from .own_function import call, look_here_first

NUM_TRIED = 16
KEY = "arch.build"


def remembered(config: TrainConfig) -> TrainConfig:
    """The config with the digests of the network's code, which make another network another experiment."""
    arch = config.arch
    if not isinstance(arch, OwnArch):
        return config
    code, built = _code(arch), _built(arch)
    for key, given, found in (("code", arch.code, code), ("built", arch.built, built)):
        if given not in (None, found):
            raise ConfigError(f"arch.{key}", given, f"{arch.build} is {found}: its code has changed")
    return replace(config, arch=replace(arch, code=code, built=built))


def own_code(arch: object) -> tuple[str, str] | None:
    """The setting that names the user's own network, and the name; None where it is no such network."""
    return (KEY, arch.build) if isinstance(arch, OwnArch) else None


def check_remembered(arch: OwnArch, run: str) -> None:
    """Raises `RunError` where the code here is not the code that the run was trained with; imports nothing else."""
    try:
        same = arch.code is not None and _code(arch) == arch.code
    except ConfigError as error:
        raise RunError(f"{run}: trained with {error}") from None
    if not same or _built(arch) != arch.built:
        raise RunError(f"{run}: trained with another {arch.build} than the one here; put its code and weights back")


def build_own_network(arch: OwnArch, dataset: Dataset, normalise: Normalise, seed: int) -> Classifier:
    """The network that `arch.build` gives, as a `Classifier`, on the CPU.

    Args:
        arch: names the function, and the head where it cannot be found.
        dataset: has as many classes as the network has logits.
        normalise: its first layer.
        seed: of the weights that the function draws.

    Raises:
        ConfigError: it is no classifier of these images that can be trained and measured, or has no linear head.
    """
    module, _ = call(KEY, arch.build, seed)
    images = dataset.test.balanced(NUM_TRIED, 0).pixels().cpu()
    called = f"images of {'x'.join(map(str, dataset.image_shape))} from {dataset.name}"
    refused = in_a_line(lambda said: ConfigError(KEY, arch.build, f"cannot be copied or tried ({said})"))
    try:
        with refused:
            # a function may give the same module twice
            module = copy.deepcopy(module).cpu()
            own = nn.Sequential(normalise, module)
            measurable, _ = check_classifier(own, images, dataset.num_classes, called=called)
        if not isinstance(measurable, nn.Sequential):
            raise UnmeasurableError("its logits must be finite numbers of float32 to be trained")
        with torch.random.fork_rng(devices=[]):
            body, head = split_at_head(module, normalise(images), arch.head)
    except UnmeasurableError as error:
        raise ConfigError(KEY, arch.build, str(error)) from None
    except ValueError as error:
        raise ConfigError("arch.head", arch.head, f"{arch.build}: {error}") from None
    classifier = Classifier(normalise, body, head)
    _try_training(arch, classifier, images[:2])
    return classifier


def _try_training(arch: OwnArch, classifier: Classifier, images: Tensor) -> None:
    """Raises `ConfigError` where the network does something else in training mode, such as giving further logits."""
    tried = copy.deepcopy(classifier).train()
    with in_a_line(lambda said: ConfigError(KEY, arch.build, f"fails in training mode ({said})")):
        with torch.random.fork_rng(devices=[]):
            loss = nn.functional.cross_entropy(tried(images), torch.zeros(len(images), dtype=torch.int64))
        loss.backward()


def _code(arch: OwnArch) -> str:
    """Of the file that has the function, and of all that it imports, read and not run."""
    look_here_first()
    name = arch.build.partition(":")[0]
    code = code_digest(name)
    if code is None:
        raise ConfigError(KEY, arch.build, f"there is no file of your own for the module {name}, here or on the path")
    return code


def _built(arch: OwnArch) -> str:
    """Of what the function gives for every seed: classes and plain attributes inside, weights that it does not draw."""
    (first, name), (second, _) = (call(KEY, arch.build, seed) for seed in (0, 1))
    other = second.state_dict()
    same = {key: value for key, value in first.state_dict().items() if torch.equal(value, other[key])}
    parts = (code_digest(name, first), settings_digest(first), weights_digest(same))
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()
