"""`bdry margin`: margins of a run's checkpoints or of a module, from the config to the measurement's folder."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..conf import option_defaults
from ..core.measuring import measuring
from ..core.moment import Moment
from ..data import Split
from ..errors import ConfigError, UsageError
from ..margins import Estimator
from ..probes.batches import FittingBatches
from ..probes.margin import measure_batch, summarise
from ..probes.nearest_points import nearest_points
from ..runs import TABLES, Measurement, read_table
from ..runs.provenance import provenance
from ..schema import Margin, MarginTaskConfig
from ..studies.margins.figures.estimators import compare, draw_histograms
from .build import build_estimator, compile_network, prepare_machine
from .console import show_check, show_summary
from .progress import Counting
from .stopping import Stop, ended, stopping
from .subject import Subject, module_subject, run_subject

FIRST_BATCH = 512


def run(config: MarginTaskConfig) -> Measurement:
    """Measures what `config` names, or says that it is measured."""
    device = prepare_machine(config.device, config.threads)
    checks = {name: _check_settings(name) for name in config.check}
    subject = (module_subject if config.run is None else run_subject)(config, device, checks)
    folder = subject.folder
    if folder.finished:
        print(f"{folder.name} is finished already: {folder.path}")
        return folder
    work = MeasuringRun(config, subject, checks)
    with folder.claimed():
        # another process may have finished it while this one loaded its data
        if not folder.finished:
            work.start_or_resume()
    show_summary(read_table(folder.table_path("margin_summary"), TABLES["margin_summary"]), subject.title)
    if checks:
        show_check(compare(read_table(folder.table_path("estimator_check"), TABLES["estimator_check"])))
    print(folder.path)
    return folder


def _check_settings(name: str) -> Margin:
    try:
        settings: Margin = option_defaults("margin", "margin", name)
    except UsageError as error:
        raise ConfigError("check", [name], str(error).partition(": ")[2]) from None
    return settings


class MeasuringRun:
    """One measurement in the making."""

    def __init__(self, config: MarginTaskConfig, subject: Subject, checks: dict[str, Margin]) -> None:
        self.config, self.subject, self.folder = config, subject, subject.folder
        self.estimators: dict[str, Estimator] = {
            node.name: build_estimator(node) for node in (config.margin, *checks.values())
        }
        if config.towards is not None and config.towards >= subject.dataset.num_classes:
            raise ConfigError(
                "towards", config.towards, f"there are the classes 0 to {subject.dataset.num_classes - 1}"
            )
        self.images = {name: split for name, split in self._chosen().items() if name in config.splits}
        if not any(len(split) for split in self.images.values()):
            raise ConfigError("classes", config.classes, "there is no image of these labels")
        # a checkpoint that does not fit is refused before the folder is made
        self.stop = Stop()
        self.loaded = subject.moments[0].step
        self.classifier = subject.load(self.loaded)
        if config.compile:
            # every checkpoint is loaded into this same module
            compile_network(self.classifier)
        total = len(subject.moments) * sum(map(len, self.images.values()))
        self.progress = Counting(self.folder.name, total, "image")
        size = FIRST_BATCH if config.batch_size == "auto" else config.batch_size
        self.batches = FittingBatches(size, self._say_smaller)

    def _chosen(self) -> dict[str, Split]:
        config, dataset = self.config, self.subject.dataset
        if config.classes is not None and max(config.classes) >= dataset.num_classes:
            raise ConfigError(
                "classes", config.classes, f"{dataset.name} has the classes 0 to {dataset.num_classes - 1} here"
            )
        chosen = {}
        for (name, split), size in zip(dataset.splits().items(), (config.num_train, config.num_test), strict=True):
            labelled = split
            if config.classes is not None:
                labelled = split[torch.isin(split.labels, torch.tensor(config.classes, device=split.labels.device))]
            chosen[name] = labelled if size is None else labelled.balanced(size, self.subject.data_seed)
        return chosen

    def start_or_resume(self) -> None:
        """Measures what is missing, then sums it up, draws it, and leaves the status."""
        device = self.subject.dataset.train.labels.device
        self.folder.write_config(self.subject.record)
        self.folder.add_provenance(
            provenance(
                device=str(device),
                device_name=torch.cuda.get_device_name() if device.type == "cuda" else "",
                threads=torch.get_num_threads(),
                data=self.subject.dataset.checksums(),
            )
        )
        self.folder.set_status("running", error=None)
        try:
            with self.progress, stopping() as self.stop:
                self._measure_missing()
            if self.config.keep_points is not None:
                self._keep_points(self.config.keep_points)
            self._sum_up()
        except BaseException as error:
            self.folder.set_status(ended(error), error=str(error) or type(error).__name__)
            raise
        self.folder.set_status("finished")

    def _measure_missing(self) -> None:
        done = self._restore()
        for moment in self.subject.moments:
            for name, split in self.images.items():
                measured = done.get((moment.step, name), 0)
                if measured < len(split):
                    self._measure_split(moment, name, split[measured:])

    def _keep_points(self, num_images: int) -> None:
        """The nearest boundary points of some images at the last checkpoint, each estimator's, as arrays."""
        step = self.subject.moments[-1].step
        if self.loaded != step:
            self.loaded, self.classifier = step, self.subject.load(step)
        # of the images measured: a class-balanced subset of a class-balanced one
        images = {name: split.balanced(num_images, self.subject.data_seed) for name, split in self.images.items()}
        with measuring(self.classifier):
            config = self.config
            points = nearest_points(self.classifier, images, self.estimators, config.norms, config.clipped)
        self.folder.write_arrays("points", step, points)

    def _restore(self) -> dict[tuple[int, str], int]:
        """How many images of each step and split are measured already; what a kill left beyond them is dropped."""
        an_image = len(self.config.norms) * len(self.config.clipped)
        rows_an_image = {"margins": an_image}
        if len(self.estimators) > 1:
            rows_an_image["estimator_check"] = an_image * len(self.estimators)
        if not self.folder.cut_back(rows_an_image):
            return {}
        log = read_table(self.folder.table_path("batches"), TABLES["batches"])
        done: dict[tuple[int, str], int] = log.groupby(["step", "split"])["num_images"].sum().to_dict()
        self.progress.begin_at(sum(done.values()))
        self.progress.note(f"{self.folder.name}: going on after {self.progress.done} of {self.progress.total} images")
        return done

    def _measure_split(self, moment: Moment, name: str, split: Split) -> None:
        if self.loaded != moment.step:
            self.loaded, self.classifier = moment.step, self.subject.load(moment.step)
        started = time.monotonic()
        about = {"step": moment.step, "epoch": moment.epoch, "split": name}
        with measuring(self.classifier):
            for batch, tables in self.batches.measure(split, self._measure_batch):
                for table, rows in tables.items():
                    self.folder.writer(table).append(rows.assign(**about))
                seconds = time.monotonic() - started
                row = pd.DataFrame([{**about, "num_images": len(batch), "seconds": seconds}])
                self.folder.writer("batches").append(row)
                self.progress.count(len(batch), f"step {moment.step}, {name}")
                started = time.monotonic()
                self.stop.obey()

    def _measure_batch(self, batch: Split) -> dict[str, pd.DataFrame]:
        rows = [
            measure_batch(
                self.classifier,
                batch,
                estimator,
                name,
                self.config.norms,
                self.config.clipped,
                self.config.towards,
            )
            for name, estimator in self.estimators.items()
        ]
        return {"margins": rows[0]} if len(rows) == 1 else {"margins": rows[0], "estimator_check": against_best(rows)}

    def _say_smaller(self, before: int, now: int) -> None:
        self.progress.note(f"not enough memory for {before} images at a time; going on with {now}")

    def _sum_up(self) -> None:
        margins = read_table(self.folder.table_path("margins"), TABLES["margins"])
        # a CSV's digits tell every float32 apart; the summary is then that of the values as they were measured
        margins = margins.astype({"margin": np.float32, "lower_bound": np.float32})
        self.folder.writer("margin_summary").replace(summarise(margins))
        draw_histograms(margins, self.subject.title, self.folder.figures)


def against_best(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of `estimator_check` for one batch, without step, epoch and split, from each estimator's `margins`."""
    keys = ["index", "norm", "clipped"]
    rows = pd.concat([table[[*keys, "estimator", "margin"]] for table in tables], ignore_index=True)
    rows = rows.astype({"margin": np.float64})
    best = rows.groupby(keys)["margin"].transform("min")
    ratio = (rows["margin"] / best).mask(rows["margin"] == best, 1.0)
    return rows.assign(best_known=best, ratio=ratio)
