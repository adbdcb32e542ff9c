"""One training from its config to its folder: evaluated and measured at its moments, saved to go on from there."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pandas as pd

from ..attacks import robust_accuracy
from ..core.measuring import measuring
from ..core.moment import Moment
from ..core.seeds import generator
from ..errors import ConfigError, RunError, TrainingError
from ..runs import SCHEMA_VERSION, TABLES, Run, find_runs
from ..runs.checkpoint import load_training, save_classifier, save_training
from ..settings import PGD, TrainConfig
from ..training import State, fit, loss_and_accuracy
from .build import (
    build_dataset,
    build_network,
    build_optimiser,
    build_plan,
    build_probes,
    planned_moments,
    prepare_machine,
)
from .loggers import open_logger
from .long_runs import quicker, seconds_at_least
from .progress import TrainingProgress
from .stopping import Stop

EVALUATION_BATCH = 500
MOST_STEPS = 10**9


class TrainingRun:
    """One run in the making: its parts, and the callables that the training loop asks for."""

    def __init__(self, settings: TrainConfig, folder: Run) -> None:
        self.settings, self.folder = settings, folder
        self.config = {"schema": SCHEMA_VERSION, **asdict(settings)}
        device = prepare_machine(settings.device, settings.threads)
        self.dataset = build_dataset(settings.dataset, device)
        self.classifier = build_network(settings, self.dataset)
        self.optimiser = build_optimiser(settings, self.classifier)
        self.plan = build_plan(settings)
        self.probes = build_probes(settings)
        self.evaluated = {
            name: split.balanced(settings.evaluation.max_images, settings.dataset.subset_seed or 0)
            for name, split in self.dataset.splits().items()
        }
        self.steps_per_epoch = self.plan.steps_per_epoch(len(self.dataset.train))
        self.total_steps = self.plan.epochs * self.steps_per_epoch
        if self.total_steps > MOST_STEPS:
            raise ConfigError(
                "training.epochs", self.plan.epochs, f"are {self.total_steps:.2g} steps, more than {MOST_STEPS:.0e}"
            )
        self.planned_moments = planned_moments(settings, self.steps_per_epoch)
        self.kept_moments = frozenset().union(*self.planned_moments.values())
        self.state = State()
        self.log = open_logger(settings.logger, folder, self.config)
        self.progress = TrainingProgress(folder.name, self.total_steps)
        self.progress.quicker = "; ".join(quicker(settings, self.dataset))
        self.stop = Stop()

    def resume(self) -> dict[str, Any]:
        """Puts back the last checkpoint's state, where there is one, and drops the tables' rows past it."""
        kept_step = -1
        if self.folder.last_checkpoint.exists():
            path, like = self.folder.last_checkpoint, asdict(State())
            self.state = State(**load_training(path, self.classifier, self.optimiser, self.folder.name, like))
            kept_step = self.state.step
            if not 0 <= kept_step <= self.total_steps:
                raise RunError(f"{path}: its step {kept_step} is none of this run's {self.total_steps}")
            self.progress.begin_at(kept_step)
            print(f"{self.folder.name}: going on from step {kept_step} of {self.total_steps}")
        for name in TABLES:
            self.folder.writer(name).drop_after(kept_step)
        return {"step": self.state.step, "total_steps": self.total_steps}

    def go_on(self, stop: Stop) -> None:
        """Trains to the end."""
        self.stop = stop
        evaluated = sum(map(len, self.evaluated.values()))
        left = 1 - self.state.step / max(self.total_steps, 1)
        self.progress.expect(left * seconds_at_least(self.settings, self.classifier, self.dataset, evaluated))
        self.last_save = self.clock = time.monotonic()
        try:
            fit(
                self.classifier,
                self.dataset.train,
                self.optimiser,
                self.plan,
                self.state,
                moments=self.kept_moments.union(
                    range(self.steps_per_epoch, self.total_steps + 1, self.steps_per_epoch)
                ),
                measure=self.measure,
                save=self.save,
                save_is_due=self.save_is_due,
                advance=self.progress.advance,
            )
        except TrainingError as error:
            raise TrainingError(f"{error}; the last good checkpoint stays in {self.folder.path}") from None
        except ValueError as error:
            # torch's words where batch-norm has a single value
            if "more than 1 value per channel" not in str(error):
                raise
            problem = f"arch={self.settings.arch.name} has batch-norm, which needs more images at a time"
            raise ConfigError("training.batch_size", self.plan.batch_size, problem) from None

    def finish(self) -> None:
        """Draws the run's own figures, and hands them to the logger."""
        # here, because matplotlib is slow to import, and the work begins sooner without it
        from ..studies.figures import draw_figures

        records, _ = find_runs([str(self.folder.path)], unfinished=True)
        drawn = draw_figures("mickisch2020", "margin_evolution", records, self.folder.figures)
        self.log(self.state.step, {}, [path for path in drawn if path.suffix == ".png"])

    def measure(self, moment: Moment) -> None:
        """Evaluates the classifier, lets the probes that are due measure it, and appends all rows to the tables."""
        with self.progress.looks_through(self.classifier):
            self._measure(moment)

    def _measure(self, moment: Moment) -> None:
        trained = time.monotonic()
        history = self._history_row(moment)
        tables = {"history": pd.DataFrame([history])}
        for name, probe in self.probes.items():
            if moment.step in self.planned_moments[name]:
                self.progress.say(f"measuring: {name}")
                with self.stop.at_once():
                    measured = probe.measure(self.classifier, self.dataset, moment)
                tables |= measured.tables
                for file, arrays in measured.arrays.items():
                    self.folder.write_arrays(file, moment.step, arrays)
        timing = {"step": moment.step, "epoch": moment.epoch, "training_seconds": trained - self.clock}
        self.clock = time.monotonic()
        tables["timings"] = pd.DataFrame([{**timing, "measuring_seconds": self.clock - trained}])
        for name, rows in tables.items():
            self.folder.writer(name).append(rows)
        self.log(moment.step, tables)

    def _history_row(self, moment: Moment) -> dict[str, object]:
        self.progress.say("evaluating")
        last = min(moment.step, max(self.total_steps - 1, 0))
        row: dict[str, object] = {
            "step": moment.step,
            "epoch": moment.epoch,
            "lr": self.plan.learning_rate(last / max(self.total_steps, 1)),
            "objective": self.state.objective_sum / self.state.objective_count
            if self.state.objective_count
            else float("nan"),
        }
        with measuring(self.classifier):
            for name, split in self.evaluated.items():
                row[f"{name}_loss"], row[f"{name}_accuracy"] = loss_and_accuracy(
                    self.classifier, split, EVALUATION_BATCH
                )
            norm, eps = self._robust_budget()
            row |= {
                "robust_accuracy": self._robust_accuracy(moment, norm, eps),
                "robust_norm": norm,
                "robust_eps": eps,
            }
        return row

    def _robust_budget(self) -> tuple[str, float]:
        """Norm and radius of the evaluating attack: as configured, else training's, else the data set's."""
        given, adv = self.settings.evaluation, self.settings.adv
        norm = given.norm or (adv.norm if isinstance(adv, PGD) else "linf")
        if given.eps is not None:
            return norm, given.eps
        if isinstance(adv, PGD) and adv.norm == norm:
            return norm, adv.eps
        return norm, getattr(self.settings.dataset.pgd, norm).eps

    def _robust_accuracy(self, moment: Moment, norm: str, eps: float) -> float:
        given = self.settings.evaluation
        if given.robust_images == 0:
            return float("nan")
        split = self.dataset.test.balanced(given.robust_images, self.settings.dataset.subset_seed or 0)
        return robust_accuracy(
            self.classifier,
            split.pixels(),
            split.labels,
            norm=norm,
            eps=eps,
            steps=given.steps,
            restarts=given.restarts,
            generator=generator(self.settings.seed, "robust accuracy", moment.step),
            batch_size=EVALUATION_BATCH,
        )

    def save(self) -> None:
        """Keeps the classifier of a moment, then the state to resume from: a kill in between loses neither."""
        step = self.state.step
        if step in self.kept_moments:
            save_classifier(self.folder.moment_checkpoint(step), self.classifier, self.folder.name, step)
        save_training(
            self.folder.last_checkpoint, self.classifier, self.optimiser, self.folder.name, asdict(self.state)
        )
        self.folder.set_status("running", step=step)
        self.last_save = time.monotonic()
        self.stop.obey()

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is long ago, or the process has been asked to stop."""
        return self.stop.requested or time.monotonic() - self.last_save > 60 * self.settings.training.checkpoint_minutes
