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
        from bdry.cli.sweep import check_job, labels
        from bdry.runs import Sweep

        assert self.config is not None
        assert self.hydra_context is not None
        for overrides in batch:
            check_job(self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides)))
        Sweep(Path(self.config.hydra.sweep.dir)).begin(labels(self._jobs()))

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs; raises `SweepError` where any failed. The table of jobs comes in any case."""
        from bdry.cli.sweep import check_number, close, interrupted
        from bdry.errors import NO_RIGHTS, StoppedError, UsageError, unwritable

        assert self.config is not None
        check_number(arguments)
        folder = Path(self.config.hydra.sweep.dir)
        try:
            super().sweep(arguments)
        except (KeyboardInterrupt, SystemExit, StoppedError):
            interrupted(folder, self._jobs())
            raise
        except OSError as error:
            # the sweep's own folder: jobs answer for themselves
            if error.errno in NO_RIGHTS:
                raise unwritable(folder, error, "; choose outputs=<folder>") from None
            # a config that is missing is one too, to Hydra
            if error.errno is None or error.filename:
                raise
            # Hydra writes its own file of the sweep, and a full disk does not name it
            raise OSError(error.errno, error.strerror, str(folder)) from error
        if not self._jobs():
            raise UsageError("the sweep has no job: a glob matches nothing")
        close(folder, self._jobs())

    def _jobs(self) -> list[list[str]]:
        """The overrides of each job, in order; none before they are known."""
        return [list(job) for batch in self.overrides or () for job in batch]


# an instance of Hydra's dataclass: it runs this module without listing it in sys.modules, where none can be made
NODE = BasicSweeperConf(_target_="hydra_plugins.bdry_sweeps.sweeper.Sweeper")
ConfigStore.instance().store(group="hydra/sweeper", name="bdry", node=NODE, provider="bdry")
