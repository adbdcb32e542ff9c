"""Hydra's and OmegaConf's composition errors in one line: which key, what is wrong, the nearest right name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..conf import compose, declaration, groups
from ..errors import did_you_mean

# the launcher's config name, and the plug-in that the extra `slurm` brings
SLURM_LAUNCHER, SLURM_PLUGIN = "submitit_slurm", "hydra_plugins.hydra_submitit_launcher"


# groups whose options set other groups' keys
PRESETS = ("launch", "paper", "scale", "recipe")


def explain(error: Exception, command: str, words: list[str]) -> str:
    """The line for an `error` that composing `bdry <command> <words>` raised."""
    text = str(error)
    if SLURM_LAUNCHER in text and not _installed(SLURM_PLUGIN):
        return "launch=slurm needs a plug-in that is not installed: pip install 'bdry[slurm]'"
    if isinstance(error, MissingConfigException) and (
        missing := re.search(r"(?:find|load) '((?:hydra/)?[^'/\s]+)/(\S+)'", text)
    ):
        return _no_such_option(command, *missing.groups())
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return _no_such_key(command, unknown.group(1).split("@")[0], words)
    if isinstance(error, ConfigCompositionException) and (bad := re.search(r"Error merging override (.+)", text)):
        if "is not a ListConfig" in _reason(error):
            key, value = bad.group(1).split("=", 1)
            length = declaration(_chosen(command, words), key).get("length") or 1
            listed = ",".join([value] * length)
            return f"{bad.group(1)}: needs a list, as in {key}=[{listed}]"
        if re.search("Cannot merge DictConfig|is not a subclass of", _reason(error)):
            key, value = bad.group(1).split("=", 1)
            if re.match(r"\[.*\bnull\b", value):
                return f"{bad.group(1)}: a list has no null; leave it out"
            return f"{bad.group(1)}: has settings of its own, each given by itself, as in {key}.<name>=<value>"
        if "is not Optional" in _reason(error):
            return f"{bad.group(1)}: has no null; leave it out for its default"
        return f"{bad.group(1)}: {_reason(error)}"
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        if value and re.fullmatch(r"[\w.@/+~-]+", key, re.ASCII) and not set(value) & set("[]{}'\"\\"):
            return f"{error.override}: has letters that need quotes, and the shell needs others: \"{key}='{value}'\""
        return f"{error.override}: not of the form key=value (quote what the shell would split: 'key=[1,2]')"
    if several := re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", text):
        key, values = several.groups()
        listed = "" if key != "probe" and key in groups(command) else f"; a single list is {key}=[{values}]"
        return f"{key}={values}: several values need -m, a job each{listed}"
    if preset := re.match(r"In '(\S+)': \w+ raised .*full_key: (\S+)", text, re.DOTALL):
        probe = preset[2].split(".")[1] if preset[2].startswith("probe.") else ""
        hint = f"; choose probe=[{probe}] too" if probe else ""
        return f"{preset[2]}: set by the preset {preset[1]}, but what is chosen has no such setting{hint}"
    lines = [line for line in text.splitlines() if line.strip() and "hydra.cc" not in line]
    return lines[0].strip() if lines else _reason(error)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _reason(error: BaseException) -> str:
    """The innermost cause's first line, which names the type that was expected."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _no_such_option(command: str, group: str, name: str) -> str:
    if group == "hydra/launcher":
        # ours are chosen by launch=
        group = "launch"
    options = groups(command).get(group)
    if options is None:
        return f"{group}={name}: bdry has no choice of {group}"
    hint = did_you_mean(name, options, f"{group}=")
    return f"{group}={name}: no such {group}{hint} (choices: {', '.join(options)})"


def _no_such_key(command: str, key: str, words: list[str]) -> str:
    available, config = groups(command), _chosen(command, words)
    known = [*dict.fromkeys([*keys(config), *available])]
    group, *names = key.split(".")
    # a probe's settings are its own
    if group == "probe" and names and names[0] in available.get(group, []):
        known = [*keys(compose(command, [f"probe=[{names[0]}]"]))]
        if key in known:
            return f"{key}: no such setting of the probes chosen; probe=[{names[0]}] has it"
    elif group in available and group not in PRESETS:
        having = [one for one in available[group] if key in keys(compose(command, [f"{group}={one}"]))]
        if having:
            has = f"{', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
            return f"{key}: no such setting of {group}={config[group].name}; {group}={has}"
    return f"{key}: no such setting{did_you_mean(key, known)} (bdry {command} --help lists them)"


def _chosen(command: str, words: list[str]) -> DictConfig:
    """The config of a command with the groups that `words` choose, its own where they choose wrongly."""
    available = groups(command)
    chosen = [word for word in words if word.split("=")[0] in available and not re.search(r",(?![^\[]*\])", word)]
    try:
        return compose(command, chosen)
    except (HydraException, OmegaConfBaseException):
        return compose(command)


def keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted keys of `config`, nodes before their leaves."""
    for name in map(str, config):
        key = f"{prefix}{name}"
        yield key
        opened = not (OmegaConf.is_interpolation(config, name) or OmegaConf.is_missing(config, name))
        if opened and isinstance(config[name], DictConfig):
            yield from keys(config[name], f"{key}.")
