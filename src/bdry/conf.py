"""Where the YAML files are and how they become typed configs: the only file that knows Hydra's versions apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from . import plugins
from .errors import UsageError, did_you_mean
from .settings import (
    SCHEMAS,
    DemoConfig,
    FiguresConfig,
    Grid,
    PublishConfig,
    ReportConfig,
    ReproduceConfig,
    TrainConfig,
    check,
)
from .settings.options import conf_dir, option_names
from .studies import import_all
from .studies.curvature.settings import CurvatureConfig
from .studies.deepdig.settings import DeepDigConfig
from .studies.detection.settings import DetectionConfig
from .studies.lastlayer.settings import SvmConfig
from .studies.margins.settings import MarginConfig
from .studies.regions.settings import RegionsConfig
from .studies.shared.settings import SharedConfig

COMMANDS: dict[str, tuple[type, str]] = {
    "demo": (DemoConfig, "two minutes: train on digits, standard and adversarial, draw the margins, write the page"),
    "train": (TrainConfig, "train a classifier and log how its margins evolve"),
    "margin": (MarginConfig, "measure the margins of a run's checkpoints, or of a module of your own"),
    "regions": (RegionsConfig, "paths inside a run's classification regions, and how convex these are"),
    "curvature": (CurvatureConfig, "how the decision boundary of a run bends near images"),
    "shared": (SharedConfig, "directions along which a run's boundary is curved at many images, and noise in them"),
    "detect": (DetectionConfig, "are perturbed images told from natural ones by the curvature of a run's boundary?"),
    "svm": (SvmConfig, "how far is a run's last layer from the linear SVMs on its features?"),
    "deepdig": (DeepDigConfig, "generate borderline instances between classes, and characterise the boundary"),
    "reproduce": (ReproduceConfig, "a paper's whole study: its runs, its figures, and verdicts on its claims"),
    "figures": (FiguresConfig, "redraw figures, results and verdicts from the tables of runs"),
    "publish": (PublishConfig, "a study's tables, figures and verdicts, from which anyone can redraw them"),
    "report": (ReportConfig, "one HTML page about runs: what was run, claims, figures, single images, provenance"),
}

# commands that take a whole study, where a training takes one part of it or none
WHOLE_STUDIES = ("reproduce", "figures", "publish")

# Hydra 1.4 deprecates version_base and warns; 1.3 warns without it
HYDRA_VERSION_BASE: dict[str, Any] = (
    {"version_base": "1.3"} if tuple(map(int, hydra.__version__.split(".")[:2])) < (1, 4) else {}
)


class PluginFolders(SearchPathPlugin):
    """Has Hydra look for options in the plug-ins' folders too, after bdry's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra's hook."""
        for plugin in plugins.usable():
            if plugin.conf.is_dir():
                search_path.append(plugin.name, f"file://{plugin.conf}")


def register_schemas() -> None:
    """Hands every schema to Hydra: commands as `schema/<command>`, options as `schema/<group>/<name>`."""
    if plugins.installed():
        Plugins.instance().register(PluginFolders)
    import_all("settings")
    store = ConfigStore.instance()
    for command, (node, _) in COMMANDS.items():
        store.store(name=command, group="schema", node=node, package="_global_")
    for group, name, cls in SCHEMAS:
        store.store(name=name, group=f"schema/{group}", node=cls)


def compose(command: str, overrides: Iterable[str] = ()) -> DictConfig:
    """The command's composed config outside a job: for help, completion and tests."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), **HYDRA_VERSION_BASE):
        return hydra.compose(command, overrides=list(overrides))


def groups(command: str) -> dict[str, list[str]]:
    """The command's config groups and the options of each that it takes, in the order of its defaults list."""
    primary = cast(DictConfig, OmegaConf.load(conf_dir() / f"{command}.yaml"))
    names = [str(name) for entry in primary.defaults if isinstance(entry, DictConfig) for name in entry]
    found = {name: option_names(name) for name in names if name != "hydra" and not name.startswith("optional ")}
    if command in WHOLE_STUDIES:
        for group in found.keys() & {"paper", "scale"}:
            found[group] = [name for name in found[group] if "/" not in name and name != "none"]
    return found


def option_defaults(command: str, group: str, name: str) -> Any:
    """The dataclass of one option of a group, as its YAML file makes it; may be asked for inside a job of Hydra's."""
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    try:
        config = loader.load_configuration(command, [f"{group}={name}"], RunMode.RUN, from_shell=False)
    except HydraException:
        choices = groups(command)[group]
        hint = did_you_mean(name, choices)
        raise UsageError(f"{name}: no such {group}{hint} (choices: {', '.join(choices)})") from None
    return OmegaConf.to_object(config[group])


def load_grid(paper: str, scale: str) -> Grid:
    """What `bdry reproduce` runs for a paper at a scale: conf/grid/<paper>/<scale>.yaml."""
    found = OmegaConf.load(conf_dir() / "grid" / paper / f"{scale}.yaml")
    grid: Grid = typed(cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Grid), found)))
    return grid


def job_overrides() -> list[str]:
    """What was typed for this job of Hydra's, in a sweep its own share; empty outside a job."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def typed(config: DictConfig) -> Any:
    """The command's dataclass, resolved and checked; raises `UsageError` for a value that is not allowed."""
    try:
        result = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        key = error.full_key or str(error).split()[-1]
        raise UsageError(f"{key}: must be given{_meaning(config, key)}") from None
    except OmegaConfBaseException as error:
        reason = _lost(config, str(error)) or str(error).splitlines()[0]
        raise UsageError(f"{error.full_key}: {reason}") from None
    check(result)
    return result


def declaration(config: DictConfig, key: str) -> Mapping[str, Any]:
    """What was declared of a setting, as `settings.options.option` keeps it; empty of a group, and of no setting."""
    group, _, name = key.rpartition(".")
    cls = OmegaConf.get_type(OmegaConf.select(config, group) if group else config)
    declarations = fields(cls) if cls is not None and is_dataclass(cls) else ()
    return next((declared.metadata for declared in declarations if declared.name == name), {})


def _meaning(config: DictConfig, key: str) -> str:
    """The help of a setting, in brackets; "" of a group's."""
    found = declaration(config, key).get("help")
    return f" ({found})" if found else ""


def _lost(config: DictConfig, text: str) -> str:
    """What is wrong with a value that is looked up by another's, such as the budget of a norm; "" for other errors."""
    found = re.match(r"Interpolation key '(\S+)\.(\w+)\.\w+' not found", text)
    if not found:
        return ""
    place, name = found.groups()
    choices = [str(choice) for choice in OmegaConf.select(config, place, default=None) or ()]
    return f"{place} has no {name}{did_you_mean(name, choices)} (choices: {', '.join(choices)})"


register_schemas()
