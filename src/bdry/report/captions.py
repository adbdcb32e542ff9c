"""The text below a figure: what is shown, of how many images and seeds, what the band is, from which configs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..runs import RunRecord
from ..runs.files import file_name
from .points import TRAININGS
from .style import save

# draws one data set and architecture's points under a title
MakeFigure = Callable[[pd.DataFrame, str], Figure]


def save_each(
    name: str,
    drawn: pd.DataFrame,
    records: Sequence[RunRecord],
    folder: Path,
    figure: MakeFigure,
    what: str,
    *,
    by: Sequence[str] = ("dataset", "arch"),
    quartiles: bool | None = True,
    notes: Callable[[pd.DataFrame], str] = lambda part: "",
) -> list[Path]:
    """Draws and saves a figure for each value of the columns `by` in `drawn`; the files written.

    what, quartiles: as in `caption`. notes: sentences that depend on what is drawn, for the caption's end.
    """
    paths = []
    for values, part in drawn.groupby(list(by), sort=True):
        title = ", ".join(values)
        text = caption(f"{name}: {title}", what, part, records, quartiles=quartiles, note=notes(part))
        paths += save(figure(part, f"{name}: {title}"), part, folder / file_name(name, *values), text)
    return paths


def caption(
    title: str, what: str, drawn: pd.DataFrame, records: Iterable[RunRecord], *, quartiles: bool | None, note: str = ""
) -> str:
    """The caption of what is drawn, in Markdown.

    drawn: has the columns run, num_seeds and num_images. quartiles: whether a curve of one seed has the quartiles over
    images for its band, else it has none; None: `what` says what its band is.
    """
    runs = set(drawn["run"])
    chosen = [record for record in records if record.identity["run"] in runs]
    sentences = [f"**{title}.** {what}", _images(drawn), band(drawn.groupby("run")["num_seeds"].max(), quartiles), note]
    if "lower_bound" in drawn and drawn["lower_bound"].notna().any():
        sentences.append("Thin lines: mean certified lower bound.")
    lines = [" ".join(filter(None, sentences)), "", *describe_runs(chosen)]
    return "\n".join(lines) + "\n"


def _images(drawn: pd.DataFrame) -> str:
    counts = drawn.loc[drawn["num_images"] > 0, "num_images"]
    if counts.empty:
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low} images a point." if low == high else f"n = {low} to {high} images a point."


def band(num_seeds: pd.Series, quartiles: bool | None) -> str:
    """What curves and bands are, from how many seeds each run has."""
    if num_seeds.max() > 1:
        also = ", of a single seed the quartiles over images" if quartiles and num_seeds.min() == 1 else ""
        return f"Curves: mean over seeds; bands: smallest to largest seed{also}."
    if quartiles is None:
        return "One seed."
    return "One seed; bands: quartiles over images." if quartiles else "One seed, hence no band."


def describe_runs(records: Sequence[RunRecord]) -> list[str]:
    """A line for each experiment among `records`: its run, seeds and the settings that decide what is drawn."""
    by_run: dict[str, list[RunRecord]] = {}
    for record in records:
        by_run.setdefault(record.identity["run"], []).append(record)
    lines = []
    for run, group in by_run.items():
        seeds = ", ".join(str(seed) for seed in sorted(record.identity["seed"] for record in group))
        parts = [f"seed{'s' if len(group) > 1 else ''} {seeds}", *settings(group[0].config)]
        lines.append(f"- `{run}` ({group[0].identity['study']}): {'; '.join(parts)}")
    return lines


def settings(config: dict[str, Any]) -> list[str]:
    """A config in a few phrases; what it does not say is left out."""
    adv, optim, training = (config.get(group) or {} for group in ("adv", "optim", "training"))
    dataset, margin = config.get("dataset") or {}, config.get("margin") or {}
    phrases = []
    if dataset.get("num_train"):
        phrases.append(f"{dataset['num_train']} training images")
    if adv.get("name") == "none":
        phrases.append("standard training")
    else:
        norm = f"{adv.get('name')} {adv.get('norm')}"
        details = [f"{key} {adv[key]:g}" for key in ("eps", "step_size", "steps") if key in adv]
        phrases.append(" ".join([f"{TRAININGS.get(norm, norm)} training", *details]))
    if optim:
        decay = f", weight decay {optim['weight_decay']:g}" if optim.get("weight_decay") else ""
        phrases.append(f"{optim['name']}, learning rate {optim['lr']:g} {optim.get('schedule', '')}".strip() + decay)
    if training:
        phrases.append(f"{training['epochs']} epochs, batch {training['batch_size']}")
    if margin:
        phrases.append(f"margins: {margin['name']}")
    return phrases
