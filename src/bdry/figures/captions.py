"""The text below a figure: what is shown, of how many images and seeds, what the band is, from which configs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..runs import RunRecord
from .points import TRAININGS
from .style import CAPTION, save
from .titles import titled

# of a picture, on a page of captions
HEADING = "## "


def keep(
    name: str,
    title: str,
    stem: str,
    figure: Figure,
    drawn: pd.DataFrame,
    records: Sequence[RunRecord],
    folder: Path,
    what: str,
) -> list[Path]:
    """Saves a figure with what it draws and a caption that says what it is and of which experiments; the files."""
    lines = [f"**{titled(name, title)}.** {what}", "", *describe_runs(drawn_from(drawn, records))]
    return save(figure, drawn.reset_index(drop=True), folder / stem, "\n".join(lines) + "\n")


def together(captions: Iterable[Path]) -> str:
    """The captions in these files as one page, each below its picture's name; `apart` takes them from it."""
    parts = [f"{HEADING}{path.name.removesuffix(CAPTION)}\n\n{path.read_text(encoding='utf-8')}" for path in captions]
    return "\n".join(["# Captions\n", *parts])


def apart(page: str) -> dict[str, str]:
    """The caption of each picture, by its name without an ending, from a page that `together` has made."""
    parts = (part.partition("\n\n") for part in f"\n{page}".split(f"\n{HEADING}")[1:])
    return {name: caption for name, _, caption in parts}


def drawn_from(drawn: pd.DataFrame, records: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs that are drawn.

    They are those of the experiments that the column `experiment` names, of the seeds in the column `seed` or `seeds`
    where there is one.
    """
    known = {name for name in ("seed", "seeds") if name in drawn}
    seeds = {
        (experiment, int(float(seed)))
        for experiment, part in drawn.groupby("experiment")
        for name in known
        for seed in " ".join(part[name].dropna().astype(str)).split()
    }
    names = set(drawn["experiment"])

    def is_drawn(experiment: str, seed: int) -> bool:
        return (experiment, seed) in seeds if known else experiment in names

    return [record for record in records if is_drawn(record.identity["experiment"], record.identity["seed"])]


def caption(
    title: str,
    what: str,
    drawn: pd.DataFrame,
    records: Iterable[RunRecord],
    *,
    quartiles: bool | None,
    bands: bool = True,
    note: str = "",
) -> str:
    """The caption of what is drawn, in Markdown.

    Args:
        drawn: has the columns experiment, num_seeds and num_images.
        quartiles: whether a curve of one seed has the quartiles over images for its band, else it has none; None:
            `what` says what its band is.
        bands: false: `what` says what becomes of several seeds, as of bars and histograms.
    """
    chosen = drawn_from(drawn, records)
    sentences = [
        f"**{title}.** {what}",
        _images(drawn),
        band(drawn.groupby("experiment")["num_seeds"].max(), quartiles) if bands else "",
        note,
    ]
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
    """What curves and bands are, from how many seeds each experiment has."""
    if num_seeds.max() > 1:
        also = ", of a single seed the quartiles over images" if quartiles and num_seeds.min() == 1 else ""
        return f"Curves: mean over seeds; bands: smallest to largest seed{also}, cut where they leave the panel."
    if quartiles is None:
        return "One seed."
    return "One seed; bands: quartiles over images." if quartiles else "One seed, hence no band."


def describe_runs(records: Sequence[RunRecord]) -> list[str]:
    """A line for each experiment among `records`: its name, seeds and the settings that decide what is drawn."""
    by_experiment: dict[str, list[RunRecord]] = {}
    for record in records:
        by_experiment.setdefault(record.identity["experiment"], []).append(record)
    lines = []
    for experiment, group in by_experiment.items():
        seeds = ", ".join(str(seed) for seed in sorted(record.identity["seed"] for record in group))
        parts = [f"seed{'s' if len(group) > 1 else ''} {seeds}", *settings(group[0].config)]
        lines.append(f"- `{experiment}` ({group[0].identity['study']}): {'; '.join(parts)}")
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
