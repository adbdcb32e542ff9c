"""Margins as claims need them: for each seed a frame with a row an image, before and after a stretch of training.

The moment before is fixed by accuracies and never by margins. Images whose margin is not known at one of the moments
are left out, as are seeds without such moments; both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .evidence import Evidence

# a subset with fewer images than this at some moment says nothing there
FEWEST_IMAGES = 20
# of the final test accuracy, the share at which a run has learnt and a change of its margins counts
LEARNT = 0.9
TIGHT, PAPERS = "walk", "deepfool"

Frames = dict[int, pd.DataFrame]


@dataclass
class Sample:
    """Frames by seed, and why other seeds and images are not among them."""

    frames: Frames = field(default_factory=dict)
    reasons: dict[str, list[int]] = field(default_factory=dict)
    num_unknown: int = 0

    def drop(self, seed: int, reason: str) -> None:
        """Notes that a seed has no value."""
        self.reasons.setdefault(reason, []).append(seed)

    @property
    def left_out(self) -> str:
        """In words, what has no value."""
        total = len(self.frames) + sum(map(len, self.reasons.values()))
        lines = [
            f"{len(seeds)} of {total} seeds: {reason} ({', '.join(map(str, sorted(seeds)))})"
            for reason, seeds in self.reasons.items()
        ]
        return "; ".join([*lines, *([f"{self.num_unknown} images without a margin"] if self.num_unknown else [])])


def margin_rows(
    evidence: Evidence, *, training: str, split: str, norm: str, study: str = "main"
) -> dict[str, pd.DataFrame]:
    """Margins in R^d by estimator, the tight one first: seed, step, epoch, index, correct, confidence, margin, success.

    From the table margins; `walk` and others, where only the estimator check has them, from there.
    """
    where = {"training": training, "split": split, "norm": norm, "study": study, "clipped": False}
    own = evidence.rows("margins", **where)
    found = {str(name): rows for name, rows in own.groupby("estimator")}
    check = evidence.rows("estimator_check", **where)
    for name, rows in check.groupby("estimator"):
        if name not in found and len(own):
            keys = ["seed", "step", "index"]
            about = own[[*keys, "correct", "confidence"]].drop_duplicates(keys)
            found[str(name)] = rows.merge(about, on=keys).assign(success=lambda part: part["margin"].notna())
    order = sorted(found, key=lambda name: (name != TIGHT, name != PAPERS, name))
    return {name: found[name] for name in order if len(found[name])}


def judged(found: Iterable[str]) -> list[tuple[str, bool]]:
    """Of these estimators those that claims are judged on: the tight one, and the paper's beside it (True)."""
    known = list(found)
    names = [name for name in known if name in (TIGHT, PAPERS)] or known[:1]
    return [(name, position > 0) for position, name in enumerate(names)]


def histories(evidence: Evidence, training: str, study: str = "main") -> dict[int, pd.DataFrame]:
    """The table history by seed, in the order of training."""
    rows = evidence.rows("history", training=training, study=study)
    return {int(seed): part.sort_values("step") for seed, part in rows.groupby("seed")}


Since = Callable[[int, pd.DataFrame], pd.Series]


def learnt(seed: int, history: pd.DataFrame) -> pd.Series:
    """The moments at which test accuracy is at least nine tenths of its last value."""
    return history["test_accuracy"] >= LEARNT * history["test_accuracy"].iloc[-1]


def accurate(level: float) -> Since:
    """The moments at which training accuracy is at least `level`."""
    return lambda seed, history: history["train_accuracy"] >= level


def moments(rows: pd.DataFrame, history: pd.DataFrame | None, seed: int, since: Since) -> list[int] | str:
    """The measured steps from the first at which `since` holds, initialisation left out; or why there are not two."""
    if history is None:
        return "no accuracy was logged"
    reached = history.loc[since(seed, history) & (history["step"] > 0), "step"]
    first = reached.min() if len(reached) else float("inf")
    steps = sorted(step for step in rows["step"].unique() if step >= first)
    if not len(reached):
        return "the accuracy of the reference moment is not reached"
    return steps if len(steps) > 1 else "no moment is measured after the reference"


def before_after(
    rows: pd.DataFrame, history: Mapping[int, pd.DataFrame], since: Since = learnt, subset: str = "all"
) -> Sample:
    """Of each seed the columns `before` and `after`: margins at the reference moment and at the last.

    Args:
        rows: one estimator's of `margin_rows`.
        history: as `histories` gives it.
        since: the moments from which the reference is the first.
        subset: all, or the images that are `correct` or `incorrect` at both moments.
    """
    sample = Sample()
    for seed, part in rows.groupby("seed"):
        steps = moments(part, history.get(seed), seed, since)
        if isinstance(steps, str):
            sample.drop(seed, steps)
            continue
        ends = [_images(part, step) for step in (steps[0], steps[-1])]
        images, first, last = np.intersect1d(ends[0]["index"], ends[1]["index"], return_indices=True)
        before, after = (
            {name: column[at] for name, column in end.items()} for end, at in zip(ends, (first, last), strict=True)
        )
        kept = np.ones(len(images), bool)
        if subset != "all":
            is_meant = subset == "correct"
            kept = (before["correct"] == is_meant) & (after["correct"] == is_meant)
        known = before["known"] & after["known"]
        sample.num_unknown += int((kept & ~known).sum())
        kept &= known
        if kept.sum() < FEWEST_IMAGES:
            sample.drop(seed, f"fewer than {FEWEST_IMAGES} images")
            continue
        columns = {"before": before["margin"][kept], "after": after["margin"][kept]}
        sample.frames[seed] = pd.DataFrame(columns, index=images[kept])
    return sample


def _images(rows: pd.DataFrame, step: int) -> dict[str, np.ndarray]:
    """The images of one moment: index, whether correct, margin, and whether it is known."""
    at = rows[rows["step"] == step]
    columns = {name: at[name].to_numpy() for name in ("index", "correct", "margin", "success")}
    known = columns.pop("success").astype(bool) & np.isfinite(columns["margin"].astype(float))
    return columns | {"correct": columns["correct"].astype(bool), "known": known}


def at_end(rows: pd.DataFrame) -> Frames:
    """Of each seed the rows of the last moment with a margin: index the image."""
    ends = rows[rows["step"] == rows.groupby("seed")["step"].transform("max")]
    ends = ends[ends["success"].astype(bool) & ends["margin"].notna()]
    return {int(seed): part.set_index("index") for seed, part in ends.groupby("seed")}


def joined(*frames: Mapping[int, pd.DataFrame]) -> Frames:
    """Of the seeds that all have, the frames side by side, of the images that all have; columns are numbered."""
    seeds = sorted(set.intersection(*(set(frame) for frame in frames)))
    sides = {seed: [frame[seed] for frame in frames] for seed in seeds}
    return {
        seed: pd.concat(parts, axis=1, join="inner").set_axis(range(sum(part.shape[1] for part in parts)), axis=1)
        for seed, parts in sides.items()
    }


def unmatched(*frames: Mapping[int, pd.DataFrame]) -> str:
    """In words, which seeds not all have, so that `joined` leaves them out; empty where there is none."""
    every: set[int] = set().union(*frames)
    lost = sorted(seed for seed in every if not all(seed in frame for frame in frames))
    return f"{len(lost)} seeds that not all trainings have ({', '.join(map(str, lost))})" if lost else ""
