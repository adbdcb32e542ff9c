"""`bdry margin`, `svm`, `deepdig`, `regions`, `curvature`, `shared`, `detect`: a classifier measured, and summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..conf import COMMANDS, option_defaults
from ..core.measuring import logits_in_batches, measuring
from ..data import Dataset, Split
from ..errors import ConfigError
from ..lastlayer import TrainingRecipe
from ..models import Normalise
from ..runs import SCHEMA_VERSION, Measurement
from ..session.build import (
    build_dataset,
    build_estimator,
    build_plan,
    check_norms,
    compile_network,
    named_estimators,
    normalisation,
    options,
    prepare_machine,
)
from ..session.console import show
from ..session.lifecycle import carry_out
from ..session.measuring import MeasuringWork
from ..session.open_run import StoredRun, open_run
from ..session.opened import Opened
from ..session.own_module import OwnModule, open_module
from ..settings import Margin, RunTask, science
from ..studies.curvature import summary as curvature
from ..studies.deepdig import summary as deepdig
from ..studies.detection import summary as detection
from ..studies.lastlayer import summary as lastlayer
from ..studies.lastlayer.settings import SvmConfig
from ..studies.margins import summary as margins
from ..studies.margins.in_batches import MarginsInBatches
from ..studies.margins.settings import MarginConfig
from ..studies.measured import Study, WholeMoments
from ..studies.printed import Rows, Summary
from ..studies.probes import Context, build_probe
from ..studies.regions import summary as regions
from ..studies.shared import summary as shared
from ..training import OPTIMISERS

TRIED_BATCH = 512


def no_recipe(config: Any, opened: Opened) -> dict[str, Any]:
    """Nothing of how the run was trained."""
    return {}


def recipe(config: SvmConfig, opened: Opened) -> dict[str, Any]:
    """How the run was trained, for its last layer to be trained that way again.

    Raises `ConfigError` where it was not trained at all, or is no run.
    """
    if config.study != "bias":
        return {}
    if not isinstance(opened, StoredRun):
        raise ConfigError("study", "bias", "needs run=<folder>: a module does not say how it was trained")
    trained = opened.config
    if trained.training.epochs == 0:
        raise ConfigError("study", "bias", "this run has no epochs; there is nothing to compare with")
    plan = build_plan(trained)
    if plan.loss != "cross_entropy":
        raise ConfigError(
            "study", "bias", f"compares training by the cross-entropy, and this run's loss is {plan.loss}"
        )
    optimiser = OPTIMISERS.bound(trained.optim.name, options(trained.optim))
    return {"recipe": TrainingRecipe(optimiser, plan.learning_rate, plan.epochs, plan.batch_size)}


@dataclass(frozen=True)
class Command:
    """A command that measures: the probe of its name, whose paper's figures it draws, what it prints at its end.

    quicker: what is proposed of work that takes more than a day.
    further: settings of the probe that follow from how the run was trained.
    """

    paper: str
    summary: Summary
    quicker: str = ""
    further: Callable[[Any, Opened], dict[str, Any]] = no_recipe


MEASURING = {
    "margin": Command("mickisch2020", margins.summary, "splits=[test]; num_test=50; norms=[l2]"),
    "svm": Command("li2018", lastlayer.summary, "num_train=500; num_test=100", recipe),
    "deepdig": Command("karimi2020", deepdig.summary, "pairs=[[0,1]]; steps=500; batch_size=32; further_alphas=[]"),
    "regions": Command("fawzi2017", regions.summary, "num_pairs=10; num_retries=2"),
    "curvature": Command("fawzi2017", curvature.summary, "num_images=10; families=[nearest_refined]"),
    "shared": Command("fawzi2017", shared.summary, "num_train=20; num_test=20"),
    "detect": Command("fawzi2017", detection.summary, "num_images=10; families=[nearest_refined]"),
}


def run(config: Any) -> Measurement:
    """Measures what `config` names, or says that it is measured, and sums it up."""
    name = next(command for command, (schema, _) in COMMANDS.items() if isinstance(config, schema))
    device = prepare_machine(config.device, config.threads)
    checks = named_estimators("check", config.check) if isinstance(config, MarginConfig) else {}
    opened = _opened(config, device)
    facts = {"schema": SCHEMA_VERSION, **opened.identity}
    if isinstance(config, MarginConfig):
        facts["check_settings"] = {check: asdict(node) for check, node in checks.items()}
    folder = opened.folder(name, {**science(config), **facts})
    record = {key: value for key, value in asdict(config).items() if key not in ("arch", "optim")}
    record |= {**facts, **opened.origin, "command": name}

    def begin() -> MeasuringWork:
        def say(doing: str) -> None:
            # the work is made of the study, hence after it
            work.progress.say(doing)

        def share(part: float) -> None:
            work.progress.share(part)

        study = (
            _margins(config, opened, checks) if name == "margin" else _probe(name, config, opened, say=say, share=share)
        )
        work = MeasuringWork(folder, opened, study, record)
        work.progress.quicker = MEASURING[name].quicker
        if isinstance(study, MarginsInBatches):
            if config.compile:
                # every checkpoint is loaded into this same module
                compile_network(work.classifier)
            study.say = work.progress.note
            _say_accuracy(work, study.images, opened)
        elif isinstance(opened, OwnModule):
            _say_accuracy(work, {"test": opened.dataset.test.balanced(TRIED_BATCH, opened.data_seed)}, opened)
        return work

    carry_out(folder, begin, opened.own_code)
    _print(MEASURING[name].summary, folder, {**record, "title": opened.title, "accuracy_said": folder.was_claimed})
    print(folder.path)
    return folder


def _opened(config: RunTask, device: torch.device) -> Opened:
    if config.run is not None:
        return open_run(config.run, config.checkpoint, device)
    assert config.dataset is not None
    dataset = build_dataset(config.dataset, device)
    first = None
    if config.preprocessing.mean is not None:
        first = Normalise(*normalisation(config.preprocessing, dataset, own=True))
    return open_module(config, dataset, config.dataset.subset_seed or 0, first)


def _probe(
    name: str, config: RunTask, opened: Opened, *, say: Callable[[str], None], share: Callable[[float], None]
) -> Study:
    """The probe of the command's name; none of them measures with the estimator of training (`margin=`)."""
    margin = opened.config.margin if isinstance(opened, StoredRun) else option_defaults("margin", "margin", "deepfool")
    context = Context(build_estimator(margin), margin.name, opened.data_seed, say=say, share=share)
    probe = build_probe(name, context, config, **MEASURING[name].further(config, opened))

    def draw(folder: Measurement) -> None:
        _draw(name, "all", opened, folder)

    return WholeMoments(probe, opened.dataset, draw)


def _draw(name: str, figure: str, opened: Opened, folder: Measurement) -> None:
    """Draws a figure of the command's paper, or all, of what was measured."""
    # here, because matplotlib is slow to import, and the work begins sooner without it
    from ..studies.figures import draw_figures

    draw_figures(MEASURING[name].paper, figure, [opened.record(folder)], folder.figures)


def _margins(config: MarginConfig, opened: Opened, checks: dict[str, Margin]) -> MarginsInBatches:
    dataset = opened.dataset
    classes = f"the classes 0 to {dataset.num_classes - 1}"
    if config.towards is not None and config.towards >= dataset.num_classes:
        raise ConfigError("towards", config.towards, f"there are {classes}")
    if config.classes is not None and max(config.classes) >= dataset.num_classes:
        raise ConfigError("classes", config.classes, f"{dataset.name} has {classes} here")
    check_norms("margin", [config.margin.name], config.norms, "norms")
    check_norms("check", checks, config.norms, "norms")
    images = {name: split for name, split in _chosen(config, dataset, opened.data_seed).items() if len(split)}
    if not images:
        raise ConfigError("classes", config.classes, "there is no image of these labels")
    points = {}
    if config.keep_points is not None:
        # of the images measured: a class-balanced subset of a class-balanced one
        points = {name: split.balanced(config.keep_points, opened.data_seed) for name, split in images.items()}

    def draw(folder: Measurement) -> None:
        _draw("margin", "margin_evolution", opened, folder)

    return MarginsInBatches(
        images=images,
        estimators={
            config.margin.name: build_estimator(config.margin),
            **{check: build_estimator(node, "check") for check, node in checks.items()},
        },
        norms=config.norms,
        clipped=config.clipped,
        towards=config.towards,
        points=points,
        points_at=opened.moments[-1].step,
        batch_size=None if config.batch_size == "auto" else config.batch_size,
        title=f"{opened.title}: {config.margin.name} margins",
        draw=draw,
    )


def _chosen(config: MarginConfig, dataset: Dataset, data_seed: int) -> dict[str, Split]:
    """The images to measure, by split."""
    sizes, chosen = {"train": config.num_train, "test": config.num_test}, {}
    for name in config.splits:
        labelled = dataset.splits()[name]
        if config.classes is not None:
            wanted = torch.tensor(config.classes, device=labelled.labels.device)
            labelled = labelled[torch.isin(labelled.labels, wanted)]
        size = sizes[name]
        chosen[name] = labelled if size is None else labelled.balanced(size, data_seed)
    # in the data set's order, in whichever they were typed
    return {name: chosen[name] for name in dataset.splits() if name in chosen}


def _say_accuracy(work: MeasuringWork, images: Mapping[str, Split], opened: Opened) -> None:
    """Before hours of measuring: what was noticed of a module, and whether it knows these images at all."""
    for note in opened.notes if isinstance(opened, OwnModule) else ():
        print(f"{opened.title}: {note}")
    with measuring(work.classifier):
        for name, split in images.items():
            found = logits_in_batches(work.classifier, split.pixels(), TRIED_BATCH).argmax(1)
            accuracy = (found == split.labels).float().mean().item()
            print(margins.accuracy_line(accuracy, len(split), name))
            if isinstance(opened, OwnModule) and (line := margins.chance_line(accuracy, work.dataset.num_classes)):
                print(line)


def _print(summary: Summary, folder: Measurement, settings: dict[str, Any]) -> None:
    def table(name: str) -> Any:
        return folder.table(name) if folder.has_table(name) else None

    for part in summary(table, settings):
        if isinstance(part, Rows):
            show(part.title, part.headings, part.rows)
        else:
            print(part)
