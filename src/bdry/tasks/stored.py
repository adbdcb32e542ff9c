"""What a run's folder brings back: its typed config, and which of its checkpoints a user means."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..conf import typed
from ..errors import ConfigError, RunError, UsageError
from ..runs import Run
from ..runs.checkpoint import checkpoint_step
from ..schema import SCHEMA_VERSION, SCHEMAS, TrainConfig

GROUPS = ("dataset", "arch", "adv", "optim", "margin")


def stored_config(run: Run) -> TrainConfig:
    """The config that the run was trained with; keys that have come since take their defaults.

    Raises `RunError` for a file that is not the config of a run, or of another version of bdry.
    """
    found = run.read_config()
    version = found.pop("schema", None)
    if version is None or not set(GROUPS) <= set(found):
        raise RunError(f"{run.config_path}: not the config of a run")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{run.config_path}: written by another version of bdry (schema {version}, this is {SCHEMA_VERSION})"
        )
    try:
        for group in GROUPS:
            found[group] = _node(group, found[group])
        found["probe"] = {name: _node("probe", node) for name, node in found.get("probe", {}).items()}
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), found)
        config: TrainConfig = typed(cast(DictConfig, merged))
    except (OmegaConfBaseException, UsageError, AttributeError, TypeError) as error:
        raise RunError(f"{run.config_path}: not readable by this version ({str(error).splitlines()[0]})") from None
    return config


def _node(group: str, values: dict[str, Any]) -> Any:
    """The structured config of an option: of the group's schemas the one with all these keys and the fewest others."""
    schemas: list[Any] = [schema for owner, _, schema in SCHEMAS if owner == group]
    fits = [schema for schema in schemas if set(values) <= {declared.name for declared in fields(schema)}]
    if not fits:
        raise UsageError(f"{group}={values.get('name')} has other settings now")
    return OmegaConf.merge(OmegaConf.structured(min(fits, key=lambda schema: len(fields(schema)))), values)


def chosen_steps(run: Run, checkpoint: str) -> list[int]:
    """The steps that `last`, `all` or a number means, in order; `ConfigError` for a step that there is not."""
    kept = run.moments()
    last = checkpoint_step(run.last_checkpoint, run.name) if run.last_checkpoint.exists() else None
    there = sorted({*kept, *([] if last is None else [last])})
    if not there:
        raise RunError(f"{run.path}: has no checkpoint yet")
    if checkpoint == "last":
        return there[-1:]
    if checkpoint == "all":
        return kept or there
    if int(checkpoint) not in there:
        raise ConfigError("checkpoint", checkpoint, f"no such step in this run (steps: {', '.join(map(str, there))})")
    return [int(checkpoint)]
