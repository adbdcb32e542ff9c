"""Tables T1, T2 and `trend` of mickisch2020: margins over training in numbers, and those of misclassified images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ....core.statistics import auroc, spearman
from ....figures.captions import describe_runs, drawn_from
from ....figures.drawing import Data, Draw, Drawing
from ....figures.points import EXPERIMENT, FEWEST_IMAGES, IDENTITY, TRAININGS, last_moment, of_study, rows_of
from ....figures.style import write_table
from ....runs import RunRecord
from ....runs.files import write_text

MARGINS = "runs with probe=[margin]"
CURVE = ["split", "norm", "subset"]
SUBSETS = ("all", "correct", "incorrect")
# our choice: the peak is looked for up to this epoch, and late is from this training accuracy on
PEAK_EPOCH = 8.0
LATE_ACCURACY = 0.99
COLUMNS = [
    *IDENTITY,
    *CURVE,
    "num_moments",
    "margin_init",
    "margin_epoch1",
    "margin_peak",
    "epoch_peak",
    "margin_at_trainacc99",
    "epoch_trainacc99",
    "margin_last",
    "epoch_last",
    "change_peak_last",
    "change_late",
    "spearman_epoch_margin_after_peak",
    "frac_decreased",
    "num_paired",
]


def trend(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, seed, split, norm and subset (all, correct, incorrect); runs without margins have none.

    Margins are means over the subset's images with a margin, in pixel units of [0, 1], without the [0, 1] box where
    both were measured; what a run does not say is nan:

    - margin_init: at step 0. margin_epoch1: at epoch 1, if that was measured.
    - margin_peak, epoch_peak: the largest mean after initialisation up to epoch 8, and when.
    - margin_at_trainacc99, epoch_trainacc99: at the first measured moment with train accuracy >= 99 %.
    - margin_last, epoch_last: at the last moment.
    - change_peak_last, change_late: margin_last / margin_peak - 1 and margin_last / margin_at_trainacc99 - 1, shares;
      nan where there is only one moment between them.
    - spearman_epoch_margin_after_peak: rank correlation of epoch and mean margin from the peak to the last moment; nan
      with fewer than three moments.
    - frac_decreased, num_paired: share of images whose margin is smaller at the last moment than at the peak, among
      the num_paired that were in the subset and had a margin at both.

    Means of the subsets correct and incorrect over fewer than 20 images are left out as if not measured.
    num_moments: those with a mean.
    """
    summary, margins, history = (rows_of(records, name) for name in ("margin_summary", "margins", "history"))
    enough = (summary["subset"] == "all") | (summary["num_success"] >= FEWEST_IMAGES)
    last_steps = summary.groupby(["experiment", "seed"])["step"].max()
    accuracy = history.set_index(["experiment", "seed", "step"])["train_accuracy"]
    images = {
        key: part for key, part in margins[margins["success"].astype(bool)].groupby(["experiment", "seed", *CURVE[:2]])
    }
    rows = []
    for key, part in summary[summary["mean"].notna() & enough].groupby([*IDENTITY, *CURVE], sort=True):
        about = dict(zip([*IDENTITY, *CURVE], key, strict=True))
        run = (about["experiment"], about["seed"])
        curve = part.sort_values("step").set_index("step")
        curve["train_accuracy"] = accuracy.reindex([(*run, step) for step in curve.index]).to_numpy()
        row, peak_step = _numbers(curve, last_steps[run])
        paired = _paired(images.get((*run, *key[-3:-1])), about["subset"], peak_step, last_steps[run])
        rows.append({**about, **row, **paired})
    return pd.DataFrame(rows, columns=COLUMNS)


def _numbers(curve: pd.DataFrame, last_step: int) -> tuple[dict[str, float], int | None]:
    """One curve's numbers, and the step of its peak; `curve` is indexed by step, in order."""
    means, epochs = curve["mean"], curve["epoch"]
    row: dict[str, float] = dict.fromkeys(COLUMNS[len(IDENTITY) + len(CURVE) : -2], np.nan)
    row |= {"num_moments": len(curve), "margin_init": means.get(0, np.nan)}
    row["margin_epoch1"] = means[np.isclose(epochs, 1)].max()
    row |= {"margin_last": means.get(last_step, np.nan), "epoch_last": epochs.get(last_step, np.nan)}
    late = curve.index[curve["train_accuracy"] >= LATE_ACCURACY]
    if len(late):
        row |= {"margin_at_trainacc99": means[late[0]], "epoch_trainacc99": epochs[late[0]]}
        if late[0] < last_step:
            row["change_late"] = row["margin_last"] / means[late[0]] - 1
    early = means[(curve.index > 0) & (epochs <= PEAK_EPOCH)]
    if early.empty:
        return row, None
    peak = int(early.idxmax())
    row |= {"margin_peak": means[peak], "epoch_peak": epochs[peak]}
    if peak < last_step:
        row["change_peak_last"] = row["margin_last"] / means[peak] - 1
    row["spearman_epoch_margin_after_peak"] = spearman(epochs.loc[peak:], means.loc[peak:])
    return row, peak


def _paired(images: pd.DataFrame | None, subset: str, peak_step: int | None, last_step: int) -> dict[str, Any]:
    nothing = {"frac_decreased": np.nan, "num_paired": 0}
    if images is None or peak_step is None or peak_step == last_step:
        return nothing
    if subset != "all":
        images = images[images["correct"] == (subset == "correct")]
    peak, last = (images[images["step"] == step].set_index("index")["margin"] for step in (peak_step, last_step))
    both = peak.index.intersection(last.index)
    if both.empty:
        return nothing
    return {"frac_decreased": float((last[both] < peak[both]).mean()), "num_paired": len(both)}


ROW = [*EXPERIMENT, "norm", "split"]
MARGIN_NUMBERS = ("margin_init", "margin_peak", "margin_at_trainacc99", "margin_last")
ACCURACIES = ("train_accuracy", "test_accuracy", "robust_accuracy")
# column -> heading and how a value is written
T1_HEADINGS = {
    "train_accuracy": ("train accuracy", "{:.1%}"),
    "test_accuracy": ("test accuracy", "{:.1%}"),
    "robust_accuracy": ("robust accuracy", "{:.1%}"),
    "margin_init": ("margin at init", "{:.3g}"),
    "margin_peak": ("at peak", "{:.3g}"),
    "margin_at_trainacc99": ("at train accuracy 99 %", "{:.3g}"),
    "margin_last": ("last", "{:.3g}"),
    "change_peak_last": ("peak to last", "{:+.0%}"),
    "change_late": ("99 % to last", "{:+.0%}"),
    "success_rate": ("success", "{:.1%}"),
    "mean_iterations": ("iterations", "{:.1f}"),
    "num_images": ("n", "{:.0f}"),
}
T2_HEADINGS = {
    "margin_correct": ("margin of correct", "{:.3g}"),
    "margin_incorrect": ("of misclassified", "{:.3g}"),
    "ratio": ("ratio", "{:.2f}"),
    "auroc": ("AUROC", "{:.3f}"),
    "num_correct": ("n correct", "{:.0f}"),
    "num_incorrect": ("n misclassified", "{:.0f}"),
}
T1_WHAT = (
    "Margins over training: means over images, in pixel units of [0, 1]; the peak is the largest mean after "
    "initialisation up to epoch 8; what train accuracy 99 % is named in is over the seeds that reach it; accuracies, "
    "success rate and iterations of the estimator are those of the last moment."
)
T2_WHAT = (
    "Margins of correctly classified and of misclassified images at the last moment, in pixel units of [0, 1]. AUROC: "
    "probability that a misclassified image has a smaller margin than a correctly classified one. Margins, ratio and "
    f"AUROC leave out seeds with fewer than {FEWEST_IMAGES} of either."
)


def t1(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row an experiment, norm and split; each number is its mean over seeds, `_low` and `_high` smallest and largest.

    Numbers: train_accuracy, test_accuracy, robust_accuracy (under the run's evaluating attack), margin_init,
    margin_peak, margin_at_trainacc99, margin_last, change_peak_last and change_late as in `trend`; success_rate and
    mean_iterations of the estimator at the last moment; num_images. Accuracies and changes are shares.
    """
    main = of_study(records, "main")
    numbers = trend(main)
    numbers = numbers[numbers["subset"] == "all"]
    summary = last_moment(rows_of(main, "margin_summary"))
    effort = summary.loc[
        summary["subset"] == "all",
        ["experiment", "seed", "norm", "split", "success_rate", "mean_iterations", "num_images"],
    ]
    accuracies = last_moment(rows_of(main, "history"))[["experiment", "seed", *ACCURACIES]]
    return _over_seeds(numbers.merge(effort).merge(accuracies, how="left"), T1_HEADINGS)


def t2(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row an experiment, norm and split, at the last moment, in the form of `t1`.

    Numbers: margin_correct and margin_incorrect, means over the images with a margin; ratio of the latter to the
    former; auroc, of the negative margin as a score for being misclassified; num_correct, num_incorrect.
    """
    margins = last_moment(rows_of(of_study(records, "main"), "margins"))
    rows = []
    for values, part in margins[margins["success"].astype(bool)].groupby([*ROW, "seed"]):
        correct = part["correct"].astype(bool)
        right, wrong = part.loc[correct, "margin"].to_numpy(), part.loc[~correct, "margin"].to_numpy()
        row = dict(zip([*ROW, "seed"], values, strict=True))
        row |= {"num_correct": len(right), "num_incorrect": len(wrong)}
        if min(len(right), len(wrong)) >= FEWEST_IMAGES:
            row |= {"margin_correct": right.mean(), "margin_incorrect": wrong.mean()}
            row |= {"ratio": wrong.mean() / right.mean(), "auroc": float(auroc(right, wrong))}
        rows.append(row)
    return _over_seeds(pd.DataFrame(rows, columns=[*ROW, "seed", *T2_HEADINGS]), T2_HEADINGS)


def _over_seeds(rows: pd.DataFrame, numbers: Iterable[str]) -> pd.DataFrame:
    groups = rows.groupby(ROW, sort=True)
    columns = {"num_seeds": ("seed", "nunique")}
    for name in numbers:
        columns |= {name: (name, "mean"), f"{name}_low": (name, "min"), f"{name}_high": (name, "max")}
    return groups.agg(**columns).reset_index().sort_values(["dataset", "arch", "training"], key=_rank, kind="stable")


def _rank(column: pd.Series) -> pd.Series:
    """For sorting: trainings in the order of legends."""
    return column.map(list(TRAININGS).index) if column.isin(TRAININGS).all() else column


def _written(table: Data, headings: dict[str, tuple[str, str]], what: str) -> Draw:
    """The numbers as <name>.csv, and as <name>.md to read."""

    def draw(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
        rows = table(records)
        if rows.empty:
            return []
        path = folder / f"{name}.md"
        seeds = "Mean over seeds; in brackets the smallest and the largest. " if rows["num_seeds"].max() > 1 else ""
        title = f"**{name}.** {what} {seeds}".rstrip()
        lines = [title, "", *_markdown(rows, headings), "", *describe_runs(drawn_from(rows, records))]
        write_text(path, "\n".join(lines) + "\n")
        return [*write_table(rows, folder / name), path]

    return draw


def _trend_csv(name: str, records: Sequence[RunRecord], folder: Path) -> list[Path]:
    rows = trend(records)
    return write_table(rows, folder / name) if len(rows) else []


def _markdown(table: pd.DataFrame, headings: dict[str, tuple[str, str]]) -> list[str]:
    about = ["dataset", "arch", "training", "norm", "split"]
    if table.duplicated(about).any():
        about.insert(0, "experiment")
    lines = ["| " + " | ".join([*about, "seeds", *(heading for heading, _ in headings.values())]) + " |"]
    lines.append("|" + "---|" * len(about) + "---:|" * (len(headings) + 1))
    for row in table.to_dict("records"):
        row["training"] = TRAININGS.get(row["training"], row["training"])
        cells = [str(row[column]) for column in [*about, "num_seeds"]]
        cells += [_cell(row, column, form) for column, (_, form) in headings.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(row: dict[str, float], column: str, form: str) -> str:
    value, low, high = row[column], row[f"{column}_low"], row[f"{column}_high"]
    if np.isnan(value):
        return "–"
    text = form.format(value)
    ends = form.format(low), form.format(high)
    return text if ends == (text, text) else f"{text} [{ends[0]}, {ends[1]}]"


FIGURES = (
    Drawing("T1", f"main {MARGINS}", ("margin_summary", "margins"), _written(t1, T1_HEADINGS, T1_WHAT)),
    Drawing("T2", f"main {MARGINS}", ("margins",), _written(t2, T2_HEADINGS, T2_WHAT)),
    Drawing("trend", MARGINS, ("margin_summary", "margins"), _trend_csv),
)
