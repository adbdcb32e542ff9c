"""`bdry train`: one run from its config to its folder, resumed where it was left, skipped where it is done."""

from __future__ import annotations

import time
from dataclasses import asdict

import pandas as pd
import torch

from ..attacks import robust_accuracy
from ..conf import job_overrides
from ..core.measuring import measuring
from ..core.moment import Moment, moment_steps
from ..core.seeds import generator
from ..errors import RunError, TrainingError
from ..runs import SCHEMA_VERSION, TABLES, Run, find_runs, read_table
from ..runs.checkpoint import load_training, save_classifier, save_training
from ..runs.provenance import provenance
from ..schema import PGD, TrainConfig, science
from ..studies.figures import draw_figures
from ..training import State, fit, loss_and_accuracy
from .build import build_dataset, build_network, build_optimiser, build_plan, build_probes, prepare_machine
from .loggers import scalar_logger
from .progress import TrainingProgress
from .stopping import Stop, ended, stopping

EVALUATION_BATCH = 500


def run(config: TrainConfig) -> Run:
    """Trains the run that `config` names, or says that it is finished."""
    folder = Run.of(config.outputs, {"schema": SCHEMA_VERSION, **science(config)}, config.seed)
    if folder.finished:
        print(f"{folder.name} is finished already: {folder.path}")
        return folder
    training = TrainingRun(config, folder)
    with folder.claimed():
        # another process may have finished it while this one waited for its data
        if not folder.finished:
            training.start_or_resume()
    print(closing_line(folder))
    return folder


class TrainingRun:
    """One run in the making: its parts, and the callables that the training loop asks for."""

    def __init__(self, config: TrainConfig, folder: Run) -> None:
        self.config, self.folder = config, folder
        self.device = prepare_machine(config.device, config.threads)
        self.dataset = build_dataset(config.dataset, self.device)
        self.classifier = build_network(config, self.dataset)
        self.optimiser = build_optimiser(config, self.classifier)
        self.plan = build_plan(config)
        self.probes = build_probes(config)
        self.evaluated = {
            name: split.balanced(config.evaluation.max_images, config.dataset.subset_seed)
            for name, split in self.dataset.splits().items()
        }
        self.steps_per_epoch = self.plan.steps_per_epoch(len(self.dataset.train))
        self.total_steps = self.plan.epochs * self.steps_per_epoch
        self.probe_moments = {
            name: self._moments((node.moments or config.moments).steps, (node.moments or config.moments).epochs)
            for name, node in config.probe.items()
        }
        self.kept_moments = self._moments(config.moments.steps, config.moments.epochs).union(
            *self.probe_moments.values()
        )
        self.state = State()
        self.log_scalars = scalar_logger(config.logger, folder.tensorboard)
        self.progress = TrainingProgress(folder.name, self.total_steps)
        self.stop = Stop()

    def _moments(self, steps: list[int], epochs: list[int]) -> frozenset[int]:
        return moment_steps(steps, epochs, self.steps_per_epoch, self.total_steps)

    def start_or_resume(self) -> None:
        """Trains to the end, from the last checkpoint where there is one; draws the figures; leaves the status."""
        self._restore()
        self.folder.write_config({"schema": SCHEMA_VERSION, **asdict(self.config)})
        self.folder.add_provenance(
            provenance(
                overrides=job_overrides(),
                from_step=self.state.step,
                device=str(self.device),
                device_name=torch.cuda.get_device_name() if self.device.type == "cuda" else "",
                threads=torch.get_num_threads(),
                data=self.dataset.checksums(),
            )
        )
        self.folder.set_status("running", step=self.state.step, total_steps=self.total_steps, error=None)
        every_epoch = range(1, self.plan.epochs + 1)
        self.last_save = self.clock = time.monotonic()
        try:
            with self.progress, stopping() as self.stop:
                fit(
                    self.classifier,
                    self.dataset.train,
                    self.optimiser,
                    self.plan,
                    self.state,
                    moments=self.kept_moments | self._moments([], list(every_epoch)),
                    measure=self.measure,
                    save=self.save,
                    save_is_due=self.save_is_due,
                    advance=self.progress.advance,
                )
            records, _ = find_runs([str(self.folder.path)], unfinished=True)
            draw_figures("mickisch2020", "margin_evolution", records, self.folder.figures)
        except BaseException as error:
            self.folder.set_status(ended(error), error=str(error) or type(error).__name__)
            if isinstance(error, TrainingError):
                raise TrainingError(f"{error}; the last good checkpoint stays in {self.folder.path}") from None
            raise
        self.folder.set_status("finished", step=self.state.step)

    def _restore(self) -> None:
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

    def measure(self, moment: Moment) -> None:
        """Evaluates the classifier, lets the probes that are due measure it, and appends all rows to the tables."""
        trained = time.monotonic()
        history = self._history_row(moment)
        tables = {"history": pd.DataFrame([history])}
        for name, probe in self.probes.items():
            if moment.step in self.probe_moments[name]:
                self.progress.say(f"measuring: {name}")
                measured = probe.measure(self.classifier, self.dataset, moment)
                tables |= measured.tables
                for file, arrays in measured.arrays.items():
                    self.folder.write_arrays(file, moment.step, arrays)
        timing = {"step": moment.step, "epoch": moment.epoch, "training_seconds": trained - self.clock}
        self.clock = time.monotonic()
        tables["timings"] = pd.DataFrame([{**timing, "measuring_seconds": self.clock - trained}])
        for name, rows in tables.items():
            self.folder.writer(name).append(rows)
        self.log_scalars(moment.step, tables)

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
        given, adv = self.config.evaluation, self.config.adv
        norm = given.norm or (adv.norm if isinstance(adv, PGD) else "linf")
        if given.eps is not None:
            return norm, given.eps
        if isinstance(adv, PGD) and adv.norm == norm:
            return norm, adv.eps
        return norm, getattr(self.config.dataset.pgd, norm).eps

    def _robust_accuracy(self, moment: Moment, norm: str, eps: float) -> float:
        given = self.config.evaluation
        if given.robust_images == 0:
            return float("nan")
        split = self.dataset.test.balanced(given.robust_images, self.config.dataset.subset_seed)
        return robust_accuracy(
            self.classifier,
            split.pixels(),
            split.labels,
            norm=norm,
            eps=eps,
            steps=given.steps,
            restarts=given.restarts,
            generator=generator(self.config.seed, "robust accuracy", moment.step),
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
        return self.stop.requested or time.monotonic() - self.last_save > 60 * self.config.training.checkpoint_minutes


def closing_line(folder: Run) -> str:
    """What a finished run came to, in a line, from its tables."""
    last = read_table(folder.table_path("history"), TABLES["history"]).iloc[-1]
    parts = [f"test accuracy {last.test_accuracy:.1%}"]
    if last.robust_accuracy == last.robust_accuracy:
        parts.append(f"robust accuracy {last.robust_accuracy:.1%} ({last.robust_norm} {last.robust_eps:.3g})")
    if folder.table_path("margin_summary").exists():
        rows = read_table(folder.table_path("margin_summary"), TABLES["margin_summary"])
        chosen = rows[(rows.step == rows.step.max()) & (rows.split == "test") & (rows.subset == "all") & ~rows.clipped]
        parts += [f"median {row.norm} margin {row.median:.3g}" for row in chosen.itertuples()]
    return f"{folder.name}: {', '.join(parts)}\n  {folder.path}"
