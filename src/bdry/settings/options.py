"""How a config key is declared: default, one line of help, unit and bounds in one place.

The same declaration types the key (OmegaConf), prints its help (`bdry train --help`), refuses bad values before
torch is loaded (`check`) and says whether it belongs to the experiment's identity (`science`). What `dataset=`,
`margin=` and the like may be are the names of the YAML files in the folders of `conf` (`option_names`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from .. import plugins
from ..errors import ConfigError, did_you_mean
from ..names import is_text

C = TypeVar("C")

# (group, name of the schema, dataclass), in the order of registration; `conf` hands them to Hydra
SCHEMAS: list[tuple[str, str, type]] = []

_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "ge": (lambda v, b: v >= b, "at least"),
    "gt": (lambda v, b: v > b, "more than"),
    "le": (lambda v, b: v <= b, "at most"),
    "lt": (lambda v, b: v < b, "less than"),
}
# of every whole number, seeds among them: what fits into 64 bits
LARGEST = 2**63 - 1


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: Iterable[str] = (),
    science: bool = True,
    hidden: bool = False,
    later: bool = False,
    passed: bool = True,
    may_be_empty: bool = False,
    may_repeat: bool = False,
    length: int | None = None,
    **bounds: float,
) -> Any:
    """A dataclass field for one config key.

    Args:
        choices: The names allowed. A registry is asked when a value is checked, hence knows what plug-ins add.
        science: False keeps the key out of the run's identity: it must not change a result.
        hidden: Keeps the key out of the help.
        later: For keys that came after runs had been made: part of the identity only where they are not null.
        passed: False keeps the key from the builder of the option's name: bdry applies it itself.
        may_be_empty: Whether an empty list means something.
        may_repeat: Whether a list may have a value twice.
        length: How many values a list has.
        bounds: Any of `ge`, `gt`, `le`, `lt`. They and `choices` hold for every element of a list.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "choices": choices,
        "science": science,
        "hidden": hidden,
        "later": later,
        "passed": passed,
        "may_be_empty": may_be_empty,
        "may_repeat": may_repeat,
        "length": length,
        "bounds": bounds,
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def schema(group: str, name: str) -> Callable[[type[C]], type[C]]:
    """Decorator that offers a dataclass to YAML files as `/schema/<group>/<name>@_here_`."""

    def file(cls: type[C]) -> type[C]:
        SCHEMAS.append((group, name, cls))
        return cls

    return file


def check(config: object) -> None:
    """Raises `ConfigError` for the first value below `config` that its declaration does not allow.

    A dataclass may add rules between its keys in a method `check_together`, which raises the same error; those of
    its parents hold too.
    """
    declared_names = [declared.name for declared in fields(config)]  # type: ignore[arg-type]
    for name in vars(config).keys() - declared_names:
        raise ConfigError(name, getattr(config, name), f"no such setting{did_you_mean(name, declared_names)}")
    for key, value, declared in children(config):
        try:
            if is_dataclass(value):
                check(value)
                continue
        except ConfigError as error:
            raise error.inside(key) from None
        if isinstance(value, list):
            _check_list(key, value, declared)
        for one in value if isinstance(value, list) else [value]:
            _check_value(key, value, one, declared)
    for cls in reversed(type(config).__mro__):
        if "check_together" in vars(cls):
            vars(cls)["check_together"](config)


def _check_list(key: str, values: list[Any], declared: Field[Any]) -> None:
    metadata = declared.metadata
    if not values and not metadata.get("may_be_empty"):
        raise ConfigError(key, values, "must not be empty")
    # what is declared as anything is checked by its own rule
    if declared.type not in (Any, "Any") and any(isinstance(one, (list, dict)) for one in values):
        raise ConfigError(key, values, "holds a list in a list; single values are wanted")
    if metadata.get("length") not in (None, len(values)):
        raise ConfigError(key, values, f"needs {metadata['length']} values: {metadata['help']}")
    if not metadata.get("may_repeat") and any(one in values[:position] for position, one in enumerate(values)):
        raise ConfigError(key, values, "names something twice")


def _check_value(key: str, value: object, one: object, declared: Field[Any]) -> None:
    metadata = declared.metadata
    if isinstance(one, str) and not one.strip() and one != declared.default:
        raise ConfigError(key, repr(one), "must not be empty")
    # a config with such a name in it cannot be read again; whose runs are drawn stands in none
    if isinstance(one, str) and declared.type not in (Any, "Any") and not is_text(one):
        raise ConfigError(key, one, "holds bytes that are no text in UTF-8; rename it")
    choices = tuple(metadata.get("choices", ()))
    if choices and one is not None and one not in choices:
        raise ConfigError(key, value, f"not one of {', '.join(choices)}{did_you_mean(str(one), choices)}")
    if isinstance(one, (int, float)) and not isinstance(one, bool):
        if not math.isfinite(one):
            raise ConfigError(key, value, "must be a finite number")
        bounds = metadata.get("bounds", {})
        for name, bound in ({"le": LARGEST} | bounds if isinstance(one, int) else bounds).items():
            holds, words = _BOUNDS[name]
            if not holds(one, bound):
                raise ConfigError(key, value, f"must be {words} {bound if isinstance(bound, int) else f'{bound:g}'}")


def children(config: object) -> Iterator[tuple[str, Any, Field[Any]]]:
    """(dotted key, value, declaration) of each key right below `config`; dicts of nodes are opened."""
    assert is_dataclass(config)
    for declared in fields(config):
        value = getattr(config, declared.name)
        if isinstance(value, dict):
            for name, node in value.items():
                yield f"{declared.name}.{name}", node, declared
        else:
            yield declared.name, value, declared


def science(config: object) -> dict[str, Any]:
    """The part of `config` that decides its results, as plain nested data: what a run's identity is made of."""
    found: dict[str, Any] = {}
    for key, value, declared in children(config):
        plain = science(value) if is_dataclass(value) else value
        # a node that came later is null where all of its keys are
        if declared.metadata.get("later") and plain in (None, {}):
            continue
        if declared.metadata.get("science", True):
            found[key] = plain
    return found


def conf_dir() -> Path:
    """The folder of YAML files: `bdry/_conf` in an installed wheel, `conf/` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/ beside {package}: the installation is incomplete")


def option_names(group: str) -> list[str]:
    """The options of a group, those in folders of the group's as `<folder>/<name>`; plug-ins' too."""
    folders = [conf_dir(), *(plugin.conf for plugin in plugins.usable())]
    return sorted(
        {
            path.relative_to(folder / group).with_suffix("").as_posix()
            for folder in folders
            for path in (folder / group).rglob("*.yaml")
        }
    )


@dataclass(frozen=True)
class OptionsOf:
    """The names of a group's options as `choices` of a setting: read when they are asked for."""

    group: str

    def __iter__(self) -> Iterator[str]:
        return iter(option_names(self.group))


# margin estimators: a setting that names one takes it with its default settings
ESTIMATORS = OptionsOf("margin")
