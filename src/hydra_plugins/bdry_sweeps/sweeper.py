"""Hydra's basic sweeper, which checks every job before any starts and ends with a table of how they went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore


class Sweeper(BasicSweeper):
    """All combinations of the values that were given."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Raises `UsageError` for a mistake in any job's config."""
        from bdry.cli.sweep import check_job

        assert self.config is not None
        assert self.hydra_context is not None
        for overrides in batch:
            check_job(self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides)))

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs; raises `SweepError` where any failed."""
        from bdry.cli.sweep import close

        super().sweep(arguments)
        assert self.config is not None
        assert self.overrides is not None
        close(Path(self.config.hydra.sweep.dir), [job for batch in self.overrides for job in batch])


# an instance of Hydra's dataclass: it runs this module without listing it in sys.modules, where none can be made
NODE = BasicSweeperConf(_target_="hydra_plugins.bdry_sweeps.sweeper.Sweeper")
ConfigStore.instance().store(group="hydra/sweeper", name="bdry", node=NODE, provider="bdry")
