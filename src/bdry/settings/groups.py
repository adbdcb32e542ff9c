"""Config groups: the folders of YAML files whose names are what `dataset=`, `margin=` and the like may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import plugins


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
