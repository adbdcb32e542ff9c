"""`bdry train`: one run from its config to its folder, resumed where it was left, skipped where it is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UsageError, unwritable
from ..runs import SCHEMA_VERSION, Run
from ..runs.published import DATA, take
from ..selection import main_margins
from ..session.digests import files_digest
from ..session.lifecycle import carry_out
from ..session.own_arch import own_code, remembered
from ..session.training_run import TrainingRun
from ..settings import TrainConfig, science


def run(config: TrainConfig) -> Run:
    """Trains the run that `config` names, or says that it is finished."""
    config = remembered(config)
    facts = {"schema": SCHEMA_VERSION, **science(config)}
    if own := config.dataset.files():
        facts["files"] = files_digest(own)
    folder = Run.of(config.outputs, facts, config.seed)
    followed = subsets_follow(config)
    if config.published:
        taken_from(config.published, folder)
    carry_out(folder, lambda: TrainingRun(followed, folder), own_code(config.arch))
    if folder.was_claimed:
        print(closing_line(folder))
    return folder


def subsets_follow(config: TrainConfig) -> TrainConfig:
    """The config with the seed of its subsets, which is the run's where it is null: one experiment, many subsets."""
    if config.dataset.subset_seed is not None:
        return config
    return replace(config, dataset=replace(config.dataset, subset_seed=config.seed))


def taken_from(published: str, folder: Run) -> None:
    """Puts what the publication `published` has of the run into its folder.

    Raises:
        UsageError: there is no publication.
    """
    publication = Path(published).expanduser()
    if not (publication / DATA).is_dir():
        raise UsageError(f"published={published}: no publication, which has a folder {DATA}/ (bdry publish writes one)")
    try:
        take(publication, folder)
    except OSError as error:
        raise unwritable(folder.path, error, folder.way_out) from None


def closing_line(folder: Run) -> str:
    """What a finished run came to, in a line, from its tables."""
    last = folder.table("history").iloc[-1]
    parts = [f"test accuracy {last.test_accuracy:.1%}"]
    if last.robust_accuracy == last.robust_accuracy:
        parts.append(f"robust accuracy {last.robust_accuracy:.1%} ({last.robust_norm} {last.robust_eps:.3g})")
    if folder.has_table("margin_summary"):
        rows = folder.table("margin_summary")
        chosen = main_margins(rows[(rows.step == rows.step.max()) & (rows.split == "test") & (rows.subset == "all")])
        parts += [f"median {row.norm} margin {row.median:.3g}" for row in chosen.itertuples()]
    return f"{folder.name}: {', '.join(parts)}\n  {folder.path}"
